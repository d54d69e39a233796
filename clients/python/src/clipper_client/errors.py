"""The errors of the client: one class with a stable `code`.

The server's codes are in its documentation (reference/errors). These are the client's own:

unreachable         no connection, or it broke off; `status` is 0
timeout             no answer within the client's `timeout`; `status` is 0
unexpected_answer   something else than Clipper answered
release_failed      a version didn't go live, with the server's reason; the old one still serves
not_live_in_time    the release is still under way
unsupported_model   nothing here knows how to save such a model
rows_failed         some rows of `score` have no output
invalid_input       a text has half of a surrogate pair, which UTF-8 can't hold
unauthenticated     there is no key at hand, or the server doesn't know it
invalid_declaration a file of `clipper apply` isn't as it should be
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNREACHABLE = "unreachable"
TIMEOUT = "timeout"
UNEXPECTED_ANSWER = "unexpected_answer"
RELEASE_FAILED = "release_failed"
NOT_LIVE_IN_TIME = "not_live_in_time"
UNSUPPORTED_MODEL = "unsupported_model"
ROWS_FAILED = "rows_failed"
INVALID_INPUT = "invalid_input"
INVALID_DECLARATION = "invalid_declaration"
UNAUTHENTICATED = "unauthenticated"


class ClipperError(Exception):
    """Clipper refused or failed, in its own words; `code` is stable, `details` depend on it."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int = 0,
        details: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.details = dict(details or {})
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is pickled by its positional arguments alone.
        return _restored, (self.message, self.code, self.status, self.details, self.retry_after_s)


class ClipperWarning(UserWarning):
    """Something was done, and perhaps isn't what was meant."""


def _restored(
    message: str, code: str, status: int, details: dict[str, Any], retry_after_s: float | None
) -> ClipperError:
    return ClipperError(
        message, code=code, status=status, details=details, retry_after_s=retry_after_s
    )
