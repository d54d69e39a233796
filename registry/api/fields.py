"""Serializer fields that take JSON values of their own type only, and say what they expected."""

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import msgspec
from django.db import models
from django.utils.functional import lazy
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.errors import BadRequest, UnknownField
from core.suggest import meant
from registry.models.settable_columns import help_of, values_of


def _typed(data: Any, kind: Any, *, expected: str) -> Any:
    """Return a value of this kind; true and false are no numbers."""
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise serializers.ValidationError(f"Expected {expected}, got {_shown(data)}.")
    return data


class Text(serializers.CharField):
    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        return super().to_internal_value(_typed(data, str, expected="text"))


class SecretText(Text):
    """Text that no answer shows, nor any error."""

    def __init__(self, **options: Any) -> None:
        super().__init__(write_only=True, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("Expected text.")
        return super().to_internal_value(data)


class Number(serializers.FloatField):
    def to_internal_value(self, data: Any) -> float:
        # The bound refuses infinity too, and not-a-number, which compares as false.
        if abs(_typed(data, int | float, expected="a number")) <= sys.float_info.max:
            return float(data)
        raise serializers.ValidationError(f"Expected a number, got {_shown(data)}.")


class Whole(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        return int(_typed(data, int, expected="a whole number"))


class Flag(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        return bool(_typed(data, bool, expected="true or false"))


class Object(serializers.DictField):
    def to_internal_value(self, data: Any) -> dict[Any, Any]:
        found: dict[Any, Any] = _typed(data, dict, expected="an object")
        return found


def optional(source: str, **options: Any) -> serializers.CharField:
    """Return a field that shows a text of a row that may not be there, as null then."""
    return serializers.CharField(source=source, read_only=True, allow_null=True, **options)


class StoredJson(serializers.JSONField):
    """A column that holds JSON as text, as its value; null where it holds none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(read_only=True, **options)

    def get_attribute(self, instance: Any) -> Any:
        text: Any = super().get_attribute(instance)
        return msgspec.json.decode(text) if text else None

    def to_representation(self, value: Any) -> Any:
        return value


AUTO = "auto"


@extend_schema_field({"oneOf": [{"type": "number"}, {"type": "string", "enum": [AUTO]}]})
class NumberOrAuto(Number):
    """A number, or "auto" (None in Python) where Clipper finds it itself."""

    def to_internal_value(self, data: Any) -> Any:
        if data == AUTO:
            return None
        try:
            return super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError(
                f'Expected a number or "{AUTO}", got {_shown(data)}.'
            ) from error

    def get_attribute(self, instance: Any) -> Any:
        # Here, because a serializer shows None as null without asking the field.
        value = super().get_attribute(instance)
        return AUTO if value is None else value

    def to_representation(self, value: Any) -> Any:
        return value


class FormNumberOrAuto(NumberOrAuto):
    """The same in a multipart form, where every value is text."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return super().to_internal_value(data if data == AUTO else float(data))
        except ValueError as error:
            raise serializers.ValidationError(
                f'Expected a number or "{AUTO}", got {_shown(data)}.'
            ) from error


class Body(serializers.Serializer[Any]):
    """A body (or an object in one) that refuses the fields it doesn't know, by name."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise BadRequest(f"Expected an object, got {_shown(data)}.")
        known = [name for name, field in self.fields.items() if not field.read_only]
        unknown = sorted(set(data) - set(known))
        if unknown:
            raise UnknownField(
                f"Unknown field {', '.join(f'{n!r}{meant(n, known)}' for n in unknown)}; "
                f"expected {', '.join(known) or 'none'}.",
                fields=unknown,
                expected=known,
            )
        return super().to_internal_value(data)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


@extend_schema_field(OpenApiTypes.BINARY)
class Upload(serializers.FileField):
    """A file of a form. To the schema it is bytes, where drf-spectacular takes it for a link."""

    default_error_messages = {
        "invalid": "Expected a file, got text.",
        "empty": "Expected a file with something in it, got an empty one.",
    }


LONG_TEXT = 10_000

# The field that takes a column is that of the first kind which the column is.
Kinds = tuple[tuple[type[models.Field[Any, Any]], type[serializers.Field[Any, Any, Any, Any]]], ...]
JSON: Kinds = (
    (models.BooleanField, Flag),
    (models.FloatField, Number),
    (models.IntegerField, Whole),
    (models.JSONField, Object),
    (models.CharField, Text),
    (models.TextField, Text),
)
# Every value of a form is text; an empty number is one not given.
FORM: Kinds = (
    (models.BooleanField, serializers.BooleanField),
    (models.FloatField, serializers.FloatField),
    (models.IntegerField, serializers.IntegerField),
    *JSON,
)


class ModelBody(Body):
    """A body with an optional field for each column in its Meta, or the one declared in its place.

    `help_texts` are for columns that clients need another text of than people at a form.
    """

    kinds: ClassVar[Kinds] = JSON

    class Meta:
        model: type[models.Model]
        columns: tuple[str, ...]
        help_texts: Mapping[str, str]

    def get_fields(self) -> dict[str, Any]:
        declared = dict(super().get_fields())
        taken = {name: declared.pop(name, None) or self._taking(name) for name in self.Meta.columns}
        return taken | declared

    def _taking(self, name: str) -> Any:
        column: Any = self.Meta.model._meta.get_field(name)
        kind = next(kind for of, kind in self.kinds if isinstance(column, of))
        options: dict[str, Any] = {"help_text": self.Meta.help_texts.get(name) or said_of(column)}
        if column.null:
            options["allow_null"] = True
        if issubclass(kind, Text):
            options["allow_blank"] = column.blank
        if isinstance(column, models.TextField):
            options["max_length"] = column.max_length or LONG_TEXT
        return kind(required=False, **options)


def said_of(column: Any) -> str:
    """Return the help text of a column, with its values if it has choices."""
    values = values_of(column)
    return f"{help_of(column, empty='null')} {_listed(values) if values else ''}".strip()


def one_of(names: Callable[[], Iterable[str]]) -> str:
    """Return a text that lists what there is whenever somebody reads it."""
    return lazy(lambda: _listed(names()), str)()


def validators_of(model: type[models.Model], name: str) -> list[Callable[[Any], None]]:
    """Return the validators of a column, for a field of another name."""
    column: Any = model._meta.get_field(name)
    return list(column.validators)


def choices_of(model: type[models.Model], column: str) -> str:
    """Return a text that lists the values of a column with choices."""
    field: Any = model._meta.get_field(column)
    return _listed(values_of(field))


def _listed(names: Iterable[str]) -> str:
    return f"One of {', '.join(names)}."
