"""Rows that are locked before they are changed, and those that are gone by then."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db import models

from core.errors import NotFound

R = TypeVar("R", bound=models.Model)


def locked(row: R, *, goes: bool = False) -> R:
    """Return the row as it is in the database, locked for this transaction.

    Rows that refer to it may be written meanwhile, unless it `goes`: a new one would keep it.
    Raises NotFound if it has been deleted meanwhile.
    """
    rows: models.QuerySet[R] = type(row)._default_manager.select_for_update(no_key=not goes)
    # In no other order: one by another table joins it, and locks its row as well.
    found = rows.order_by("pk").filter(pk=row.pk).first()
    if found is None:
        raise _gone(row)
    return found


def refresh(row: models.Model, *, fields: Collection[str]) -> None:
    """Read these fields again. Raises NotFound where the row has been deleted meanwhile.

    For rows that go only with the lock on another one, which is held: a version with its model's.
    """
    try:
        row.refresh_from_db(fields=list(fields))
    except ObjectDoesNotExist as error:
        raise _gone(row) from error


def _gone(row: models.Model) -> NotFound:
    return NotFound(f"There is no {row._meta.verbose_name} {row} any more.")
