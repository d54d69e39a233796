"""Columns that people set; API, console and commands offer them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import models


def settable(model: type[models.Model], *, but: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of a model's editable columns without `but`."""
    columns = (column for column in model._meta.concrete_fields if column.editable)
    return tuple(c.name for c in columns if not c.primary_key and c.name not in but)


def values_of(column: models.Field[Any, Any]) -> list[str]:
    """Return the choices of a column, if it has any."""
    return [str(value) for value, _ in column.choices or ()]


def help_of(column: models.Field[Any, Any], *, empty: str) -> str:
    """Return the help text of a column; `empty` names the missing value."""
    return str(column.help_text).replace("Empty: ", f"{empty}: ")
