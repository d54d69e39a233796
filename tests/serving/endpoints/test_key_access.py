"""A key learns of no application that it may not ask."""

import pytest

from core.errors import NotFound
from serving.endpoints.key_access import application_named
from serving.testing.specs import application_spec, key_spec, snapshot_of


@pytest.mark.parametrize(
    ("allowed", "hint"), [(None, " (did you mean 'digits'?)"), (frozenset({99}), "")]
)
def test_a_misspelt_application_is_told_with_one_that_the_key_sees(
    allowed: frozenset[int] | None, hint: str
) -> None:
    key = key_spec(application_ids=allowed)
    snapshot = snapshot_of(application_spec(name="digits"), keys=[key])
    with pytest.raises(NotFound) as caught:
        application_named(snapshot, name="digist", needs="predict", key_in=lambda _: key)
    assert caught.value.message == f"There is no application named 'digist'{hint}."


def test_a_model_that_is_taken_for_an_application_is_told_apart() -> None:
    key = key_spec()
    snapshot = snapshot_of(keys=[key])
    name = next(iter(snapshot.models.values())).name
    with pytest.raises(NotFound, match=f"named '{name}'; it is a model, which an application"):
        application_named(snapshot, name=name, needs="predict", key_in=lambda _: key)
