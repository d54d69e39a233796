"""A field that isn't known is told with the one that was meant, where there is such a one."""

import pytest

from core.suggest import meant
from registry import services
from registry.models import Application
from tests.registry.conftest import BY, Api

KNOWN = ("input", "input_batch", "context", "slo_ms", "policy", "routes")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("inputs", " (did you mean 'input'?)"),
        ("slo-ms", " (did you mean 'slo_ms'?)"),
        ("Policy", " (did you mean 'policy'?)"),
        ("rotues", " (did you mean 'routes'?)"),
        ("colour", ""),
        ("", ""),
        ("input" * 10_000, ""),
    ],
)
def test_what_is_near_is_named(name: str, hint: str) -> None:
    assert meant(name, KNOWN) == hint


def test_names_beyond_a_hundred_are_not_compared() -> None:
    assert meant("inputs", ["input", *map(str, range(100))]) == ""


def test_a_name_that_the_caller_may_see_is_named(
    manager: Api, bound_manager: Api, digits: Application
) -> None:
    def told(api: Api, name: str) -> str:
        return str(api("get", f"applications/{name}").json()["error"])

    services.create_application(name="letters", input_type="doubles", slo_ms=50, by=BY)
    assert "'leters' (did you mean 'letters'?)" in told(manager, "leters")
    assert "did you mean" not in told(bound_manager, "leters")
    assert "did you mean 'digits'" in told(bound_manager, "digit")


def test_the_management_api_says_so(manager: Api, digits: Application) -> None:
    answer = manager("patch", f"applications/{digits.name}", {"polcy": "exp3", "colour": 1})
    assert answer.json()["error"].startswith(
        "Unknown field 'colour', 'polcy' (did you mean 'policy'?); expected "
    )
