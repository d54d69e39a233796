"""Decoding of clients' JSON, with errors in the one shape."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec

from core.errors import BadRequest, InvalidJson, UnknownField
from core.suggest import meant

T = TypeVar("T")

# Smaller bodies are decoded as they are: what they may hold at most takes 3 ms to make.
LARGE_BODY_BYTES = 64 << 10


class Bounds:
    """Bounds of a large body's arrays and fields, checked before it is decoded.

    16 MB may be 8 million values, which take a second and half a GB.
    """

    def __init__(self, *, items: Mapping[str, int], small: Collection[str]) -> None:
        arrays = [(name, _array_of_up_to(most) | None, None) for name, most in items.items()]
        others = [(name, msgspec.Raw, msgspec.Raw()) for name in small]
        fields: list[Any] = [*arrays, *others]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Bounded", fields))
        self._small = tuple(small)

    def check(self, body: bytes) -> None:
        """Raise BadRequest if a body exceeds them."""
        if len(body) < LARGE_BODY_BYTES:
            return
        found = decoded(self._decoder, body)
        for name in self._small:
            size = memoryview(getattr(found, name)).nbytes
            if size > (most := 512 << 10):  # the features with the longest names take less
                raise BadRequest(f"{name}: expected at most {most} bytes, got {size}.")


def _array_of_up_to(most: int) -> Any:
    """Return the type of an array that is refused at its first item too many."""
    fields = [(f"item_{number}", msgspec.Raw, msgspec.Raw()) for number in range(most)]
    return msgspec.defstruct("Array", fields, array_like=True, forbid_unknown_fields=True)


def decoded(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """Decode a body. Raises InvalidJson, UnknownField or BadRequest."""
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
        wrong, at, place = text.partition(" - at `$.")
        return BadRequest(f"{place[:-1]}: {wrong[:1].lower()}{wrong[1:]}" if at else text)
    name = text.partition("`")[2].partition("`")[0]
    known = getattr(expected, "__struct_fields__", ())
    return UnknownField(
        f"Unknown field {name!r}{meant(name, known)}; expected only {', '.join(known)}.",
        fields=[name],
    )
