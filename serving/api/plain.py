"""Cut the input out of a body that names an input and nothing else, without parsing it."""

from __future__ import annotations

from serving.api.requests import NUMBERS

# What may be nothing but numbers and brackets.
_PLAIN = NUMBERS | {"tensor"}
_OPENINGS = (b'{"input":[', b'{"input": [')


def plain_input(body: bytes, *, input_type: str) -> bytes | None:
    """Return the arrays of numbers that are all there is in a body; None where it isn't so plain.

    The model's parser reads every number and refuses what is none, so that nobody has to look at
    them before. But a body that might say anything else, in strings or objects, is parsed.
    """
    if input_type not in _PLAIN or not body.endswith(b"]}"):
        return None
    start = body.find(b"[", 0, 11)
    plain = (
        body[: start + 1] in _OPENINGS
        and body.find(b'"', start) < 0
        and body.find(b"{", start) < 0
        and body.find(b"}", start) == len(body) - 1
    )
    return body[start:-1] if plain else None
