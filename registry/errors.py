"""Errors that callers of Clipper see, each with its HTTP status and stable code.

ClipperError 500 internal
├── BadRequest 400 malformed
│   ├── InvalidJson 400 invalid_json
│   ├── InvalidInput 400 invalid_input
│   ├── UnknownField 400 unknown_field
│   └── InvalidReceipt 400 invalid_receipt
├── Unauthenticated 401 unauthenticated
│   └── UnknownKey 401 unauthenticated
├── Forbidden 403 forbidden
├── NotFound 404 not_found
├── MethodNotAllowed 405 method_not_allowed
├── RequestTimeout 408 request_timeout
├── Conflict 409 conflict
├── PreconditionFailed 412 precondition_failed
├── BodyTooLarge 413 body_too_large
├── UnsupportedEncoding 415 unsupported_encoding
├── HeadTooLarge 431 head_too_large
├── TooManyRequests 429 too_many_requests    (carries Retry-After)
├── ModelFailed 500 model_failed
├── Unavailable 503 unavailable                 (carries Retry-After)
│   ├── Saturated 503 saturated
│   └── NotReady 503 not_ready
├── DeadlineExceeded 504 deadline_exceeded
└── InsufficientStorage 507 insufficient_storage

They are raised with data where the fault is found and rendered once, at the boundary.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

# What an API key is called in the Authorization header, and the challenge where it is missing.
KEY_SCHEME = "Api-Key"
CHALLENGE = f'{KEY_SCHEME} realm="clipper"'


class ClipperError(Exception):
    """Base of every error that leaves the system with a status and a stable code."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        # What belongs to the answer beside the error, such as the id of the query that failed.
        self.about: dict[str, Any] = {}

    def body(self) -> dict[str, Any]:
        """Return the one error shape of every HTTP endpoint and websocket message."""
        shape = {"error": self.message, "code": self.code, "details": self.details}
        return shape | self.about

    def headers(self) -> dict[str, str]:
        """Return the HTTP headers that belong to it."""
        return {}


class BadRequest(ClipperError):
    status = 400
    code = "malformed"


class InvalidJson(BadRequest):
    code = "invalid_json"


class InvalidInput(BadRequest):
    code = "invalid_input"


class UnknownField(BadRequest):
    code = "unknown_field"


class InvalidReceipt(BadRequest):
    """A query id that this system did not sign, or not for this application, or too old."""

    code = "invalid_receipt"


class Unauthenticated(ClipperError):
    status = 401
    code = "unauthenticated"

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": CHALLENGE}


class UnknownKey(Unauthenticated):
    """A key that is not known here, or not any more."""


class Forbidden(ClipperError):
    status = 403
    code = "forbidden"


class NotFound(ClipperError):
    status = 404
    code = "not_found"


class MethodNotAllowed(ClipperError):
    status = 405
    code = "method_not_allowed"

    def headers(self) -> dict[str, str]:
        allowed = self.details.get("allowed")
        return {"Allow": ", ".join(allowed)} if allowed else {}


class RequestTimeout(ClipperError):
    """A request that takes too long to arrive."""

    status = 408
    code = "request_timeout"


class Conflict(ClipperError):
    status = 409
    code = "conflict"


class PreconditionFailed(ClipperError):
    """What the caller has seen isn't what is there any more."""

    status = 412
    code = "precondition_failed"


class BodyTooLarge(ClipperError):
    status = 413
    code = "body_too_large"


class UnsupportedEncoding(ClipperError):
    status = 415
    code = "unsupported_encoding"


class HeadTooLarge(ClipperError):
    status = 431
    code = "head_too_large"


class ModelFailed(ClipperError):
    code = "model_failed"


class TooManyRequests(ClipperError):
    """Somebody guesses, or asks for more than their share: it says when to try again."""

    status = 429
    code = "too_many_requests"

    def __init__(self, message: str, *, retry_after_s: float, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(max(1, math.ceil(self.retry_after_s)))}


class Unavailable(ClipperError):
    """Something is missing for the moment: it says when trying again is worth it."""

    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: float = 1.0, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(max(1, math.ceil(self.retry_after_s)))}


class Saturated(Unavailable):
    code = "saturated"


class NotReady(Unavailable):
    code = "not_ready"


class DeadlineExceeded(ClipperError):
    status = 504
    code = "deadline_exceeded"


class InsufficientStorage(ClipperError):
    """No room on the disk for what was sent, or for what it would change in the database."""

    status = 507
    code = "insufficient_storage"
