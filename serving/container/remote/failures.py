"""Reasons why a remote model gave no output.

RemoteFailure
├── HostRefused         the operator's list lacks the host, or the address it leads to
├── CannotConnect       nothing answers there, or not as TLS
├── ClosedWithoutAnswer the connection ended before the first byte of an answer
├── BrokenAnswer        the answer is no HTTP, no JSON, incomplete, or not one output per input
│   └── TooLargeAnswer  the answer is larger than the outputs of so many inputs may be
├── AnsweredLate        no answer within the time that the version allows
└── AnsweredError       a status other than 2xx, with the server's words
"""

from typing import Any

import msgspec

# Statuses of servers, and of proxies in front of them, that may pass in a moment.
PASSING = frozenset({429, 502, 503, 504})
# Statuses of servers that a single bad input of a batch may cause.
BLAMING = frozenset({400, 413, 422, 500})
# Keys of an error's text, preferred first: Open Inference and OpenAI, MLflow, FastAPI.
MESSAGE_KEYS = ("error", "message", "detail", "error_code")


class RemoteFailure(Exception):
    """`passes`: a retry may succeed, after `after_s`. `is_everybodys`: every other request would
    fail as well. `blames_an_input`: a single one of several inputs may be the cause.
    """

    passes = False
    is_everybodys = False
    blames_an_input = False
    after_s = 0.0


class HostRefused(RemoteFailure):
    is_everybodys = True


class CannotConnect(RemoteFailure):
    passes = True
    is_everybodys = True


class ClosedWithoutAnswer(RemoteFailure):
    passes = True


class BrokenAnswer(RemoteFailure):
    pass


class TooLargeAnswer(BrokenAnswer):
    blames_an_input = True


class AnsweredLate(RemoteFailure):
    is_everybodys = True


class AnsweredError(RemoteFailure):
    def __init__(self, message: str, *, status: int, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.after_s = after_s
        self.passes = status in PASSING
        self.blames_an_input = status in BLAMING


def error_text(body: bytes) -> str:
    """Return the message within the body of an error; the body itself if there is none."""
    try:
        found = _message_in(msgspec.json.decode(body))
    except (ValueError, RecursionError):
        found = ""
    return found or body.decode(errors="replace")


def _message_in(value: Any, *, depth: int = 0) -> str:
    if isinstance(value, str):
        return value
    if depth < 3 and isinstance(value, dict):
        parts = (_message_in(value.get(key), depth=depth + 1) for key in MESSAGE_KEYS)
        return next((part for part in parts if part), "")
    if depth < 3 and isinstance(value, list) and value:
        return msgspec.json.encode(value).decode()
    return ""
