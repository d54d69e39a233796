"""Columns: validators whose messages say what came, and what people may set."""

import math
import re
from collections.abc import Callable, Collection
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from registry.versions.package_requirements import check_python, parse

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


def settable(model: type[models.Model], *, but: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of a model's editable columns without `but`."""
    columns = (column for column in model._meta.concrete_fields if column.editable)
    return tuple(c.name for c in columns if not c.primary_key and c.name not in but)


def values_of(column: Any) -> list[str]:
    """Return the choices of a column, if it has any."""
    return [str(value) for value, _ in column.choices or ()]


def help_of(column: Any, *, empty: str) -> str:
    """Return the help text of a column; `empty` names the missing value."""
    return str(column.help_text).replace("Empty: ", f"{empty}: ")


class InputType(models.TextChoices):
    DOUBLES = "doubles", "doubles: array of numbers, 64 bit"
    FLOATS = "floats", "floats: array of numbers, 32 bit"
    INTEGERS = "integers", "integers: array of whole numbers"
    STRINGS = "strings", "strings: text"
    BYTES = "bytes", "bytes: base64 text"
    JSON = "json", "json: anything"
    COLUMNS = "columns", "columns: an object a row, as in a data frame"
    TENSOR = "tensor", "tensor: nested arrays of numbers"
