"""Decodes the JSON that clients send, or says in the one error shape what was wrong with it."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from registry.errors import BadRequest, InvalidJson, UnknownField
from registry.guessing import meant

T = TypeVar("T")


def decoded(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """Raises InvalidJson for text that isn't JSON, UnknownField or BadRequest for a wrong shape."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_shape(str(error), decoder.type) from error
    except UnicodeDecodeError as error:
        raise InvalidJson("Expected JSON in UTF-8.") from error
    except RecursionError as error:
        raise InvalidJson("Expected JSON that is nested less deeply.") from error
    except msgspec.DecodeError as error:
        raise InvalidJson(f"Expected a JSON body: {error}.") from error


def _wrong_shape(text: str, expected: object) -> BadRequest:
    """Read the field's name from msgspec's "Object contains unknown field `name`"."""
    if "unknown field" not in text:
        return BadRequest(text)
    name = text.partition("`")[2].partition("`")[0]
    known = getattr(expected, "__struct_fields__", ())
    return UnknownField(
        f"Unknown field {name!r}{meant(name, known)}; expected only {', '.join(known)}.",
        fields=[name],
    )
