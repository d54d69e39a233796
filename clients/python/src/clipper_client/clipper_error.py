"""The errors of the client: one class with a stable `code`."""

from collections.abc import Mapping
from functools import partial
from typing import Any


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
        return partial(ClipperError, **vars(self)), ()


class ClipperWarning(UserWarning):
    """Something was done, and perhaps isn't what was meant."""


def unexpected(what: object) -> ClipperError:
    return ClipperError(f"Clipper answered something unexpected: {what}.", code="unexpected_answer")


def unsupported(message: str) -> ClipperError:
    return ClipperError(message, code="unsupported_model")
