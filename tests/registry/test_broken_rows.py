"""A row that nothing can be made of is left out, with why, and all others are read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from core.changes import APPLICATION, KEY
from registry import services
from registry.models import Application
from registry.reading import compare, read_rows
from registry.row_changes import KINDS, START, Known, RowChange
from tests.registry.conftest import BY

pytestmark = pytest.mark.django_db


def written(sql: str, value: str, *, row_id: int) -> None:
    """Write what the ORM wouldn't."""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {sql} = %s WHERE id = %s", [value, row_id])


def everything(known: Known) -> Iterator[RowChange]:
    piece = compare(START, known=known)
    yield from piece.changes
    while piece.following is not None:
        piece = compare(piece.following, known=known)
        yield from piece.changes


def nothing_known() -> Known:
    return {kind: {} for kind in KINDS}


def test_an_application_whose_parameters_are_none_is_left_out_alone(digits: Application) -> None:
    other = services.create_application(name="other", input_type="doubles", slo_ms=9.0, by=BY)
    written("registry_application SET policy_params", "[1]", row_id=digits.pk)

    changes = {c.id: c for c in everything(nothing_known()) if c.kind == APPLICATION}

    assert changes[other.pk].spec is not None
    broken = changes[digits.pk]
    assert broken.spec is None
    assert broken.fault.startswith("TypeError: ")
    assert not changes[other.pk].fault


def test_a_value_that_its_driver_cannot_read_leaves_out_its_row_alone() -> None:
    broken, _ = services.create_api_key(name="broken", scopes=("predict",), by=BY)
    sound, _ = services.create_api_key(name="sound", scopes=("predict",), by=BY)
    # PostgreSQL's word for never is beyond the years that Python has.
    never = "infinity" if connection.vendor == "postgresql" else "2026-13-45 00:00"
    written("registry_apikey SET expires_at", never, row_id=broken.pk)
    known = nothing_known()

    changes = {c.id: c for c in everything(known) if c.kind == KEY}
    named = {c.id: c for c in read_rows({KEY: {broken.pk, sound.pk}}, known=known)}

    for found in (changes, named):
        assert found[sound.pk].spec is not None
        assert (found[broken.pk].spec, bool(found[broken.pk].fault)) == (None, True)


def test_what_was_left_out_is_no_change_until_it_is_mended(digits: Application) -> None:
    known = nothing_known()
    written("registry_application SET policy_params", "[1]", row_id=digits.pk)
    for change in everything(known):
        known[change.kind][change.id] = change.row or ()

    assert list(everything(known)) == []
    written("registry_application SET policy_params", "{}", row_id=digits.pk)
    (mended,) = everything(known)

    assert (mended.id, mended.fault) == (digits.pk, "")
    assert mended.spec is not None
