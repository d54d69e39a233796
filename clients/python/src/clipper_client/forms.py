"""Inputs of bytes as the files of a form (RFC 7578), without base64 and JSON around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from secrets import token_hex
from typing import Any

# The server takes 256 of them, and 16 MB, in one request by default.
FORM_FILES, FORM_BYTES = 256, 8 << 20


def are_bytes(rows: Sequence[Any]) -> bool:
    return bool(rows) and all(isinstance(row, bytes | bytearray | memoryview) for row in rows)


def forms_of(rows: Sequence[bytes], *, fields: Mapping[str, Any]) -> Iterator[tuple[bytes, str]]:
    """Yield the files, in order, as bodies about as large as the server takes them, each with its
    content type; the fields go along with each.
    """
    taken: list[bytes] = []
    size = 0
    for row in rows:
        if taken and (len(taken) >= FORM_FILES or size + len(row) > FORM_BYTES):
            yield _form(taken, fields=fields)
            taken, size = [], 0
        taken.append(row)
        size += len(row)
    if taken:
        yield _form(taken, fields=fields)


def _form(files: Sequence[bytes], *, fields: Mapping[str, Any]) -> tuple[bytes, str]:
    boundary = token_hex(16)  # no file has it in it
    parts = [(f'name="{name}"\r\n\r\n', str(value).encode()) for name, value in fields.items()]
    parts += [('name="input"; filename="input"\r\n\r\n', file) for file in files]
    pieces: list[bytes] = []
    for head, content in parts:
        disposition = f"--{boundary}\r\nContent-Disposition: form-data; {head}"
        pieces += (disposition.encode(), content, b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces), f"multipart/form-data; boundary={boundary}"
