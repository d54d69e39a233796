"""Whatever no generated table describes is described all the same."""

import re

import pytest

from core.specs import SCOPES
from registry.models import Release
from registry.models.application import Combine, Loss
from registry.models.settable_columns import InputType
from selection.policies import POLICIES
from serving.cluster.membership.records import ReplicaState
from serving.query.fallback import NO_MODEL, OVERLOADED, TOO_LATE
from tests.docs import code
from tests.docs.documents import everything, page, rows, url_shape


@pytest.mark.parametrize("name", sorted(code.settings_of_supervisord()))
def test_every_variable_of_the_launcher_is_described(name: str) -> None:
    assert f"\n- `{name}`" in page("docs/reference/settings.md")


@pytest.mark.parametrize("key", sorted(code.redis_keys()))
def test_the_bound_of_every_key_in_redis_is_described(key: str) -> None:
    described = {
        found
        for row in rows(page("docs/how-to/operations.md"))
        for found in re.findall(r"`(clipper:[a-z-]+)(?::[a-z*]+)?\*?`", row[0])
    }
    assert key in described


@pytest.mark.parametrize("url", sorted(code.urls()))
def test_every_url_is_described(url: str) -> None:
    mentioned = {url_shape(found) for found in re.findall(r"/[\w{}./<>-]*", everything())}
    assert url in mentioned


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_policy_is_explained(name: str) -> None:
    assert any(row[0] == f"`{name}`" for row in rows(page("docs/explanation/policies.md")))


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
