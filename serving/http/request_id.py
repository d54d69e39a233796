"""The id that a caller gives a request, sent back with its answer."""

from __future__ import annotations

import re
from collections.abc import Iterable

NAME = b"x-request-id"
# Longer ids, and those of other characters, are not sent back.
_plain = re.compile(rb"[!-~]{1,128}").fullmatch
_in_head = re.compile(rb"\r\nx-request-id:[ \t]*([!-~]{1,128})[ \t]*\r\n", re.IGNORECASE).search


def request_id_in(head: bytes) -> bytes:
    """Return the id in the bytes of a head; b"" without one."""
    found = _in_head(head)
    return found[1] if found else b""


def request_id_of(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the id among fields, whose names are in lower case; b"" without one."""
    for name, value in fields:
        if name == NAME:
            return value if _plain(value) else b""
    return b""
