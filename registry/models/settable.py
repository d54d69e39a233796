"""The columns of a model that people set: API, console and commands offer what is listed here."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import models


def settable(model: type[models.Model], *, but: Collection[str] = ()) -> tuple[str, ...]:
    """The names of a model's editable columns without `but`, in the order of the model."""
    columns = (column for column in model._meta.concrete_fields if column.editable)
    return tuple(c.name for c in columns if not c.primary_key and c.name not in but)


def values_of(column: models.Field[Any, Any]) -> list[str]:
    """The values that a column with choices may have; none where it has no choices."""
    return [str(value) for value, _ in column.choices or ()]


def help_of(column: models.Field[Any, Any], *, empty: str) -> str:
    """What a column says of itself; `empty` is how no value is given there ("null" in JSON)."""
    return str(column.help_text).replace("Empty: ", f"{empty}: ")
