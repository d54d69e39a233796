"""Times in requests: when a period begins and ends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry.errors import BadRequest

EXPECTED = "a time with its zone such as 2026-01-31T12:00:00Z, or seconds since 1970"


def moment_of(text: Any) -> datetime:
    """Return the time that a text names. Raises `ValueError` saying what was expected."""
    wrong = f"Expected {EXPECTED}, got {text!r}"
    try:
        if text.replace(".", "", 1).isdigit():
            return datetime.fromtimestamp(float(text), tz=UTC)
        moment = datetime.fromisoformat(text)
    except (AttributeError, ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{wrong}.") from error
    if moment.tzinfo is None:
        raise ValueError(f"{wrong} without a zone.")
    return moment


def check_period(*, since: datetime | None, until: datetime | None) -> None:
    """Raise `BadRequest` for a period that ends before it begins."""
    if since is not None and until is not None and since >= until:
        raise BadRequest(
            f"since: Expected a time before until, got {since.isoformat()} and {until.isoformat()}."
        )


@extend_schema_field({"type": "string", "format": "date-time"})
class Moment(serializers.Field[datetime, Any, str, Any]):
    def to_internal_value(self, data: Any) -> datetime:
        try:
            return moment_of(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error

    def to_representation(self, value: datetime) -> str:
        return value.isoformat()
