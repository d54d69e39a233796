"""Errors that callers of Clipper see, each with its HTTP status and stable code.

ClipperError 500 internal
├── BadRequest 400 malformed
│   ├── InvalidJson 400 invalid_json
│   ├── InvalidInput 400 invalid_input
│   ├── UnknownField 400 unknown_field
│   ├── InvalidReceipt 400 invalid_receipt
│   │   └── ExpiredReceipt 400 invalid_receipt
│   └── InvalidPolicyParams 400 invalid_policy_params
├── Unauthenticated 401 unauthenticated
│   ├── UnknownKey 401 unauthenticated
│   └── HostUnknown 401 unauthenticated
├── Forbidden 403 forbidden
├── NotFound 404 not_found
├── MethodNotAllowed 405 method_not_allowed
├── RequestTimeout 408 request_timeout
├── Conflict 409 conflict
│   └── CheckFailed 409 check_failed
├── PreconditionFailed 412 precondition_failed
├── BodyTooLarge 413 body_too_large
├── UnsupportedEncoding 415 unsupported_encoding
├── TooManyRequests 429 too_many_requests    (carries Retry-After)
├── HeadTooLarge 431 head_too_large
├── ModelFailed 500 model_failed
├── Unavailable 503 unavailable                 (carries Retry-After)
│   ├── Saturated 503 saturated
│   ├── NotReady 503 not_ready
│   ├── ProcessAway 503 process_away
│   └── FetchFailed 503 unavailable
├── DeadlineExceeded 504 deadline_exceeded
└── InsufficientStorage 507 insufficient_storage

They are raised with data and rendered once, at the boundary. The documentation quotes the first
sentences of their docstrings.
"""

import math
from typing import Any, ClassVar

# What an API key is called in the Authorization header, and the challenge where it is missing.
KEY_SCHEME = "Api-Key"
CHALLENGE = f'{KEY_SCHEME} realm="clipper"'
# What a host of the cluster calls what it proves itself with.
HOST_SCHEME = "Clipper-Host"


class ClipperError(Exception):
    """A fault of ours; the log says more than the answer.

    Base of every error that leaves the system with a status and a stable code.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    # When to try again, if that may help.
    retry_after_s: float | None = None

    def __init__(self, message: str, *, retry_after_s: float | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s
        # What belongs to the answer beside the error, such as the id of the query that failed.
        self.about: dict[str, Any] = {}

    def body(self) -> dict[str, Any]:
        """Return the one error shape of every HTTP endpoint and websocket message."""
        shape = {"error": self.message, "code": self.code, "details": self.details}
        return shape | self.about

    def headers(self) -> dict[str, str]:
        """Return the HTTP headers that belong to it."""
        if self.retry_after_s is None:
            return {}
        return {"Retry-After": str(max(1, math.ceil(self.retry_after_s)))}


class BadRequest(ClipperError):
    """A value has a wrong type, shape or range; `details.fields` names the fields."""

    status = 400
    code = "malformed"


class InvalidJson(BadRequest):
    """The body isn't JSON."""

    code = "invalid_json"


class InvalidInput(BadRequest):
    """The input isn't what the application or the model takes."""

    code = "invalid_input"


class UnknownField(BadRequest):
    """The body has a field that the endpoint doesn't know; `details.fields` names it."""

    code = "unknown_field"


class InvalidReceipt(BadRequest):
    """The query id isn't of this system or of this application, or it is too old."""

    code = "invalid_receipt"


class ExpiredReceipt(InvalidReceipt):
    """Its feedback window is over."""


class InvalidPolicyParams(BadRequest, ValueError):
    """There is no such policy, or it doesn't take these parameters."""

    code = "invalid_policy_params"


class Unauthenticated(ClipperError):
    """No key came, or one that is unknown, revoked or expired."""

    status = 401
    code = "unauthenticated"

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": CHALLENGE}


class UnknownKey(Unauthenticated):
    """A key that is not known here, or not any more."""


class HostUnknown(Unauthenticated):
    """The asker of an artifact doesn't prove to be a host of this cluster."""

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": HOST_SCHEME}


class Forbidden(ClipperError):
    """The key lacks the scope, the person lacks the permission, or others use what would change."""

    status = 403
    code = "forbidden"


class NotFound(ClipperError):
    """There is no such application, model, version, release or URL."""

    status = 404
    code = "not_found"


class MethodNotAllowed(ClipperError):
    """The URL doesn't take this method; `Allow` lists those it takes."""

    status = 405
    code = "method_not_allowed"

    def headers(self) -> dict[str, str]:
        allowed = self.details.get("allowed")
        return {"Allow": ", ".join(allowed)} if allowed else {}


class RequestTimeout(ClipperError):
    """The head or the body of the request took too long to arrive; the connection ends."""

    status = 408
    code = "request_timeout"


class Conflict(ClipperError):
    """The name is taken, the version is in use or live already, or no slot is free for it."""

    status = 409
    code = "conflict"


class CheckFailed(Conflict):
    """The version failed its check; `anyway` deploys it, which has it checked again."""

    code = "check_failed"


class PreconditionFailed(ClipperError):
    """The row that `If-Match` names has changed since; the message says how, and by whom."""

    status = 412
    code = "precondition_failed"


class BodyTooLarge(ClipperError):
    """The body or the artifact is larger than allowed."""

    status = 413
    code = "body_too_large"


class UnsupportedEncoding(ClipperError):
    """The body isn't of the type expected, or it is compressed."""

    status = 415
    code = "unsupported_encoding"


class TooManyRequests(ClipperError):
    """Too many unknown keys or attempts to sign in from here, or uploads begun by one key."""

    status = 429
    code = "too_many_requests"
    retry_after_s = 1.0


class HeadTooLarge(ClipperError):
    """The head of the request has more than 64 KiB or 200 fields; the connection ends."""

    status = 431
    code = "head_too_large"


class ModelFailed(ClipperError):
    """The model failed, and the application has no default output."""

    code = "model_failed"


class Unavailable(ClipperError):
    """The database or Redis can't be reached, or what would be written can't be kept."""

    status = 503
    code = "unavailable"
    retry_after_s = 1.0


class Saturated(Unavailable):
    """A queue is full, or more arrives at once than is taken."""

    code = "saturated"


class NotReady(Unavailable):
    """No replica of the model is connected."""

    code = "not_ready"


class ProcessAway(Unavailable):
    """The web process that answers this URL isn't there, or has no time; the connection ends."""

    code = "process_away"


class FetchFailed(Unavailable):
    """A host can't get an artifact now; it tries again."""


class DeadlineExceeded(ClipperError):
    """No answer came within the objective, and the application has no default output."""

    status = 504
    code = "deadline_exceeded"


class InsufficientStorage(ClipperError):
    """The disk has no room for the upload, or for what would change in the database."""

    status = 507
    code = "insufficient_storage"
