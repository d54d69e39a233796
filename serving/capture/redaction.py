"""Redaction: named members of JSON become null before a captured row leaves its process."""

from functools import lru_cache
from typing import Any

import msgspec

# In place of a name: nothing of the input is captured.
EVERYTHING = "*"


@lru_cache(maxsize=256)
def names_in(setting: str) -> frozenset[str]:
    """Return the names in an application's setting, which has commas between them."""
    return frozenset(name.strip() for name in setting.split(",") if name.strip())


def redacted(text: bytes, names: frozenset[str]) -> bytes:
    """Return JSON with the values of these members as null, however deep they are.

    Raises msgspec.DecodeError, UnicodeDecodeError or RecursionError if it can't be read.
    """
    if not names:
        return text
    return msgspec.json.encode(_without(msgspec.json.decode(text), names))


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {
            name: None if name in names else _without(each, names) for name, each in value.items()
        }
    return [_without(each, names) for each in value] if isinstance(value, list) else value
