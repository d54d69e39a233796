"""Inputs of bytes as a body or as files of a form, turned into the JSON text of their base64."""

import re
from binascii import b2a_base64
from collections.abc import Iterator
from itertools import islice
from urllib.parse import parse_qsl

import msgspec

from core.errors import BadRequest, UnknownField
from core.suggest import meant
from serving.endpoints.predictions.batch_splitting import R

FORM = b"multipart/form-data"
RAW = b"application/octet-stream"
IMAGE = b"image/"
# Of one form, beside some options. All are looked through in one turn of the loop.
MOST_FILES = 256
_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_NAME = re.compile(rb';\s*name="([^"]*)"', re.IGNORECASE)
_FILE = re.compile(rb";\s*filename\*?=", re.IGNORECASE)


def is_binary(content_type: bytes, *, input_type: str) -> bool:
    """Return whether a body is the bytes themselves, or a form; only inputs of bytes may be."""
    if input_type != "bytes":
        return False
    kind = content_type.partition(b";")[0].strip().lower()
    return kind in (RAW, FORM) or kind.startswith(IMAGE)


def binary_request(kind: type[R], body: bytes, *, content_type: bytes, query: bytes) -> R:
    """Return the request in such a body, with a batch of one input or more.

    What else it may say is in the query string, or in fields of the form. Raises BadRequest.
    """
    options = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    is_form = content_type.partition(b";")[0].strip().lower() == FORM
    files = _files(body, content_type=content_type, options=options) if is_form else [body]
    inputs = {"input", "input_batch", "features"}
    known = [name for name in kind.__struct_fields__ if name not in inputs]
    unknown = sorted(options.keys() - set(known))
    if unknown:
        raise UnknownField(
            f"Unknown field {unknown[0]!r}{meant(unknown[0], known)}; expected {', '.join(known)}.",
            fields=unknown,
            expected=known,
        )
    batch = [msgspec.Raw(text_of(content)) for content in files]
    try:
        return msgspec.convert({**options, "input_batch": batch}, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{error}.") from error


def text_of(content: bytes) -> bytes:
    """Return the JSON of an input that came as it is."""
    return b'"' + b2a_base64(content, newline=False) + b'"'


def _files(body: bytes, *, content_type: bytes, options: dict[str, str]) -> list[bytes]:
    """Return the files of a form; its other fields go to the options."""
    files: list[bytes] = []
    for name, is_file, content in islice(_parts(body, content_type=content_type), MOST_FILES + 44):
        if is_file:
            files.append(content)
        else:
            options[name] = content.decode(errors="replace")
    if not 1 <= len(files) <= MOST_FILES:
        raise BadRequest(
            f"Expected a form with 1 to {MOST_FILES} files, got {len(files) or 'none'}."
        )
    return files


def _parts(body: bytes, *, content_type: bytes) -> Iterator[tuple[str, bool, bytes]]:
    """Yield each part of a form: its name, if it is a file, and its content (RFC 7578)."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise BadRequest("Expected a boundary in the Content-Type of a form, got none.")
    boundary = b"\r\n--" + (found[1] or found[2])
    # The first one begins the body, without a line before it.
    at = (b"\r\n" + body[: len(boundary)]).find(boundary)
    if at != 0:
        raise BadRequest("Expected a form that begins with its boundary, got something else.")
    start = len(boundary) - 2
    while body[start : start + 2] == b"\r\n":
        end = body.find(boundary, start)
        head_end = body.find(b"\r\n\r\n", start, start + 4096)
        if end < 0 or head_end < 0 or head_end > end:
            raise BadRequest("Expected a form whose parts end with its boundary, got another.")
        head = body[start:head_end]
        name = _NAME.search(head)
        yield (
            name[1].decode(errors="replace") if name else "",
            _FILE.search(head) is not None,
            body[head_end + 4 : end],
        )
        start = end + len(boundary)
    if body[start : start + 2] != b"--":
        raise BadRequest("Expected a form that ends with its boundary, got one that breaks off.")
