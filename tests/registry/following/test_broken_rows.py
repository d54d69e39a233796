"""A row that nothing can be made of is left out, with why, and all others are read."""

import pytest
from django.db import connection

from core.specs import APPLICATION, KEY
from registry import services
from registry.following.reading import read_newer, read_piece
from registry.models import Application
from tests.registry.conftest import BY

pytestmark = pytest.mark.django_db


def written(sql: str, value: str, *, row_id: int) -> None:
    """Write what the ORM wouldn't."""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {sql} = %s WHERE id = %s", [value, row_id])


def test_an_application_whose_parameters_are_none_is_left_out_alone(digits: Application) -> None:
    other = services.create_application(name="other", input_type="doubles", slo_ms=9.0, by=BY)
    written("registry_application SET policy_params", "[1]", row_id=digits.pk)

    reading = read_piece(APPLICATION).reading

    assert reading.specs[APPLICATION, other.pk] is not None
    assert reading.specs[APPLICATION, digits.pk] is None
    assert list(reading.faults) == [(APPLICATION, digits.pk)]
    written("registry_application SET policy_params", "{}", row_id=digits.pk)
    assert read_piece(APPLICATION).reading.specs[APPLICATION, digits.pk] is not None


def test_a_value_that_its_driver_cannot_read_leaves_out_its_row_alone() -> None:
    broken, _ = services.create_api_key(name="broken", scopes=("predict",), by=BY)
    sound, _ = services.create_api_key(name="sound", scopes=("predict",), by=BY)
    # PostgreSQL's word for never is beyond the years that Python has.
    never = "infinity" if connection.vendor == "postgresql" else "2026-13-45 00:00"
    written("registry_apikey SET expires_at", never, row_id=broken.pk)

    newer = read_newer(0)
    assert newer is not None
    for reading in (read_piece(KEY).reading, newer):
        assert reading.specs[KEY, sound.pk] is not None
        assert reading.specs[KEY, broken.pk] is None
        assert list(reading.faults) == [(KEY, broken.pk)]
