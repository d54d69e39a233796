"""Rows that are locked, validated and saved."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import Model as DjangoModel

from core.errors import BadRequest, Conflict, NotFound
from registry.models.settable_columns import values_of

R = TypeVar("R", bound=models.Model)


def locked(row: R, *, goes: bool = False) -> R:
    """Return the row locked for this transaction; `goes` bars new references. Raises NotFound."""
    rows: models.QuerySet[R] = type(row)._default_manager.select_for_update(no_key=not goes)
    # In no other order: one by another table joins it, and locks its row as well.
    found = rows.order_by("pk").filter(pk=row.pk).first()
    if found is None:
        raise _gone(row)
    return found


def refresh(row: models.Model, *, fields: Collection[str]) -> None:
    """Read fields again of a row that goes only with a locked one. Raises NotFound."""
    try:
        row.refresh_from_db(fields=list(fields))
    except ObjectDoesNotExist as error:
        raise _gone(row) from error


def _gone(row: models.Model) -> NotFound:
    return NotFound(f"There is no {row._meta.verbose_name} {row} any more.")


def check_changeable(changes: Collection[str], *, fields: Collection[str]) -> None:
    """Raise BadRequest where something else than these fields would be changed."""
    unknown = sorted(set(changes) - set(fields))
    if unknown:
        raise BadRequest(f"{unknown[0]}: Can't be changed.", fields=unknown)


def checked(row: DjangoModel, *, exclude: Collection[str] = (), unique: bool = True) -> None:
    """Validate the row. Raises BadRequest; without `unique`, `save_new` finds taken names."""
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
    """Insert the row. Raises `conflict` if its name was taken meanwhile."""
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
