"""Whatever can be set, called, raised or watched is described."""

import re

import pytest
from django.core.management import get_commands

from core.specs import SCOPES
from registry.models import Release
from registry.models.application import Combine, Loss
from registry.models.settable_columns import InputType
from selection.policies import POLICIES, Parameter
from serving.cluster.membership.records import ReplicaState
from serving.container.runtimes import RUNTIMES
from serving.query.fallback import NO_MODEL, OVERLOADED, TOO_LATE
from tests.architecture.source import LAYERS
from tests.docs import code
from tests.docs.documents import ROOT, everything, page, rows, url_shape, words


@pytest.mark.parametrize("name", sorted(code.settings_read() | code.settings_of_supervisord()))
def test_every_setting_is_described(name: str) -> None:
    assert re.search(
        rf"^- `{name}`( \(.+?\))?: .", page("docs/reference/settings.md"), re.MULTILINE
    )


@pytest.mark.parametrize("key", sorted(code.redis_keys()))
def test_the_bound_of_every_key_in_redis_is_described(key: str) -> None:
    described = {
        found
        for row in rows(page("docs/how-to/operations.md"))
        for found in re.findall(r"`(clipper:[a-z-]+)(?::[a-z*]+)?\*?`", row[0])
    }
    assert key in described


def test_the_errors_described_are_those_there_are_with_their_status() -> None:
    described = {
        (int(row[0]), row[1].strip("`"))
        for row in rows(page("docs/reference/errors.md"))
        if re.fullmatch(r"\d{3}", row[0])
    }
    assert described == code.errors()


@pytest.mark.parametrize("url", sorted(code.urls()))
def test_every_url_is_described(url: str) -> None:
    mentioned = {url_shape(found) for found in re.findall(r"/[\w{}./<>-]*", everything())}
    assert url in mentioned


@pytest.mark.parametrize(("name", "kind"), sorted(code.metrics().items()))
def test_every_metric_is_described_with_its_type(name: str, kind: str) -> None:
    assert f"\n- `{name}` ({kind}): " in page("docs/reference/metrics.md")


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_policy_is_described(name: str) -> None:
    for where in ("docs/reference/policies.md", "docs/explanation/policies.md"):
        assert any(row[0] == f"`{name}`" for row in rows(page(where))), where


@pytest.mark.parametrize(
    ("policy", "parameter"),
    [(policy.name, parameter) for policy in POLICIES.values() for parameter in policy.parameters],
)
def test_every_parameter_is_described_with_default_and_range(
    policy: str, parameter: Parameter
) -> None:
    expected = [
        f"{parameter.default:g}",
        f"{parameter.low:g} to {parameter.high:g}",
        parameter.meaning,
    ]
    found = [row for row in rows(page("docs/reference/policies.md")) if row[2:] == expected]
    assert [f"`{policy}`" in row[1] for row in found if row[0] == f"`{parameter.name}`"] == [True]


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_every_runtime_is_described(name: str) -> None:
    assert any(row[0] == f"`{name}`" for row in rows(page("docs/reference/runtimes.md")))


def test_every_command_is_described() -> None:
    ours = {name for name, app in get_commands().items() if app in LAYERS}
    assert ours <= words(r"[a-z_]+", text=page("docs/reference/commands.md"))


@pytest.mark.parametrize(
    "target", re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
)
def test_every_make_target_is_described(target: str) -> None:
    assert any(row[0] == f"`make {target}`" for row in rows(page("docs/reference/commands.md")))


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("docs/how-to/predictions.md", InputType.values),
        ("docs/how-to/predictions.md", [NO_MODEL, TOO_LATE, OVERLOADED]),
        ("docs/how-to/predictions.md", [*Combine.values, *Loss.values]),
        ("docs/reference/api.md", [*SCOPES, *Release.State.values]),
        ("docs/explanation/cluster.md", list(ReplicaState)),
    ],
)
def test_every_value_that_callers_meet_is_described(file: str, names: set[str]) -> None:
    text = page(file)
    assert [name for name in names if f"`{name}`" not in text and f"`{name}:" not in text] == []
