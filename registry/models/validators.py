"""Validators of columns whose messages say what came."""

import math
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator

from registry.versions.requirements import check_python, parse

# As browsers send it: in lower case, without a path, and without the port that its scheme implies.
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?")
_IMPLIED = (("http://", ":80"), ("https://", ":443"))


def validate_finite(value: float) -> None:
    """Refuse infinity and not-a-number."""
    if not math.isfinite(value):
        raise ValidationError(
            "Expected a finite number, got %(value)s.", code="not_finite", params={"value": value}
        )


def between(low: float, high: float) -> list[Callable[[Any], None]]:
    """Return the validators of a number from `low` to `high`, both included."""
    message = f"Expected {low:.12g} to {high:.12g}, got %(show_value)s."
    return [MinValueValidator(low, message=message), MaxValueValidator(high, message=message)]


def validate_requirements(value: str) -> None:
    try:
        parse(value, urls=settings.CLIPPER_PIP_URLS)
    except ValueError as error:
        raise ValidationError("%(why)s", code="requirements", params={"why": error}) from error


def validate_python(value: str) -> None:
    try:
        check_python(value)
    except ValueError as error:
        raise ValidationError("%(why)s", code="python", params={"why": error}) from error


def validate_origins(value: str) -> None:
    for origin in value.split():
        implied = any(origin.startswith(s) and origin.endswith(p) for s, p in _IMPLIED)
        if origin != "*" and (implied or not _ORIGIN.fullmatch(origin)):
            raise ValidationError(
                "Expected origins such as https://shop.example, in lower case, with neither a path "
                "nor the port that is usual, or *, got %(value)s.",
                code="origins",
                params={"value": origin},
            )
