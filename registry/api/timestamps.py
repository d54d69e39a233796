"""Times and periods in requests."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.errors import BadRequest

EXPECTED = "a time with its zone such as 2026-01-31T12:00:00Z, or seconds since 1970"
EXPECTED_IN_A_PERIOD = f"{EXPECTED}, or how long ago such as 7d, 12h, 30m or 10s"
AGO = re.compile(r"(\d{1,5})([dhms])", re.ASCII)
UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def moment_of(text: Any, *, expected: str = EXPECTED) -> datetime:
    """Return the time that a text names. Raises `ValueError` saying what was expected."""
    wrong = f"Expected {expected}, got {text!r}"
    try:
        if text.replace(".", "", 1).isdigit():
            return datetime.fromtimestamp(float(text), tz=UTC)
        moment = datetime.fromisoformat(text)
    except (AttributeError, ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{wrong}.") from error
    if moment.tzinfo is None:
        raise ValueError(f"{wrong} without a zone.")
    return moment


def past_moment_of(text: Any) -> datetime:
    """Return the time that a text names, or that is so long ago, such as `7d`."""
    ago = AGO.fullmatch(text) if isinstance(text, str) else None
    if ago is None:
        return moment_of(text, expected=EXPECTED_IN_A_PERIOD)
    return datetime.now(UTC) - timedelta(**{UNITS[ago[2]]: int(ago[1])})


def moment_in(parameters: Mapping[str, str], name: str) -> datetime | None:
    """Return the time in a query parameter, None without one. Raises `BadRequest`."""
    text = parameters.get(name)
    if text is None:
        return None
    try:
        # In a query a plus sign that isn't escaped reads as a space.
        return past_moment_of(text.replace(" ", "+"))
    except ValueError as error:
        raise BadRequest(f"{name}: {error}") from error


def check_period(*, since: datetime | None, until: datetime | None) -> None:
    """Raise BadRequest for a period that ends before it begins."""
    if since is not None and until is not None and since >= until:
        raise BadRequest(
            f"since: Expected a time before until, got {since.isoformat()} and {until.isoformat()}."
        )


@extend_schema_field({"type": "string", "format": "date-time"})
class Moment(serializers.Field[datetime, Any, str, Any]):
    def to_internal_value(self, data: Any) -> datetime:
        try:
            return self.read(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error

    def to_representation(self, value: datetime) -> str:
        return value.isoformat()

    def read(self, data: Any) -> datetime:
        return moment_of(data)


class PastMoment(Moment):
    """The begin or the end of a period."""

    def read(self, data: Any) -> datetime:
        return past_moment_of(data)
