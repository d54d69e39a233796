"""The bounds of numeric fields, as validators whose messages say what came."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator


def validate_finite(value: float) -> None:
    """Refuse infinity and not-a-number, which passes every comparison with a bound."""
    if not math.isfinite(value):
        raise ValidationError(
            "Expected a finite number, got %(value)s.", code="not_finite", params={"value": value}
        )


def between(low: float, high: float) -> list[Callable[[Any], None]]:
    """Return the validators of a number from `low` to `high`, both included."""
    message = f"Expected {low:.12g} to {high:.12g}, got %(show_value)s."
    return [MinValueValidator(low, message=message), MaxValueValidator(high, message=message)]
