"""Serializer fields that take a JSON value of their own type only, and say what they expected.

DRF's own turn 5 into "5", "yes" into true and "nan" into a number.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import msgspec
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.errors import BadRequest, UnknownField
from core.suggest import meant

# Also what refuses infinity, and not-a-number, which compares as false with everything.
LARGEST = sys.float_info.max


class Text(serializers.CharField):
    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError(f"Expected text, got {_shown(data)}.")
        return super().to_internal_value(data)


class SecretText(Text):
    """Taken, never shown, in no refusal either."""

    def __init__(self, **options: Any) -> None:
        super().__init__(write_only=True, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("Expected text.")
        return super().to_internal_value(data)


class Number(serializers.FloatField):
    def to_internal_value(self, data: Any) -> float:
        if not isinstance(data, bool) and isinstance(data, int | float) and abs(data) <= LARGEST:
            return float(data)
        raise serializers.ValidationError(f"Expected a number, got {_shown(data)}.")


class Whole(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            raise serializers.ValidationError(f"Expected a whole number, got {_shown(data)}.")
        return data


class Flag(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError(f"Expected true or false, got {_shown(data)}.")
        return data


class Object(serializers.DictField):
    def to_internal_value(self, data: Any) -> dict[Any, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError(f"Expected an object, got {_shown(data)}.")
        return data


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
