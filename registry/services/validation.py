"""Turns a row that isn't valid into the one error shape."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Model as DjangoModel

from core.errors import BadRequest, Conflict
from registry.models.settable import values_of


def check_changeable(changes: Collection[str], *, fields: Collection[str]) -> None:
    """Raise BadRequest where something else than these fields would be changed."""
    unknown = sorted(set(changes) - set(fields))
    if unknown:
        raise BadRequest(f"{unknown[0]}: Can't be changed.", fields=unknown)


def checked(row: DjangoModel, *, exclude: Collection[str] = (), unique: bool = True) -> None:
    """Run the model's own validation; raises BadRequest naming each wrong field.

    Without `unique` a name that is taken is left to `save_new`, which calls it a conflict.
    """
    try:
        row.full_clean(exclude=set(exclude), validate_unique=unique)
    except ValidationError as error:
        _name_choices(error, row=row)
        raise bad_request(error) from error


def _name_choices(error: ValidationError, *, row: DjangoModel) -> None:
    for name, faults in error.error_dict.items():
        for fault in faults:
            if fault.code == "invalid_choice":
                column: Any = row._meta.get_field(name)
                values = ", ".join(values_of(column))
                fault.message = f"Expected one of {values}, got %(value)r."


def save_new(row: DjangoModel, *, conflict: Conflict) -> None:
    """Insert the row; raises `conflict` where somebody took its name since that was checked."""
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        raise conflict from error


def bad_request(error: ValidationError) -> BadRequest:
    if hasattr(error, "error_dict"):
        fields = {name: list(messages) for name, messages in error.message_dict.items()}
    else:
        fields = {"__all__": list(error.messages)}
    return refusal(fields)


def refusal(fields: Mapping[str, Collection[str]]) -> BadRequest:
    """Return the error for these messages by field; "__all__" stands for the whole."""
    summary = " ".join(
        message if name == "__all__" else f"{name}: {message}"
        for name, messages in fields.items()
        for message in messages
    )
    return BadRequest(summary, fields=fields)
