"""Sends a request again where the server said later, or where nothing can have come of it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from clipper_client.errors import UNEXPECTED_ANSWER, UNREACHABLE, ClipperError
from clipper_client.steps import Operation, Pause, Request, Response

# The server says when to come back; it is believed up to here.
LONGEST_PAUSE_S = 30.0
LATER = (429, 503)
# With these 503 says that nothing was begun; others may come after a write whose answer was lost.
NOTHING_BEGUN = ("saturated", "not_ready", "process_away")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a request is sent again, and after which pauses: drawn from a range that doubles.

    A pause is never shorter than the server's `Retry-After`.
    """

    retries: int = 4
    first_pause_s: float = 0.1

    def pause_s(self, attempt: int, *, retry_after_s: float | None) -> float:
        spread: float = self.first_pause_s * 2**attempt * random.random()  # noqa: S311
        return min(LONGEST_PAUSE_S, (retry_after_s or 0.0) + spread)


def ask(request: Request, *, policy: RetryPolicy) -> Operation[Response]:
    """Return a successful response. Raises ClipperError with the server's words for any other."""
    attempt = 0
    while True:
        try:
            response: Response = yield request
            if response.status < 300:
                return response
            raise refusal(response)
        except ClipperError as error:
            if attempt >= policy.retries or not _worth_another(error, request=request):
                raise
            pause_s = policy.pause_s(attempt, retry_after_s=error.retry_after_s)
        yield Pause(pause_s)
        attempt += 1


def refusal(response: Response) -> ClipperError:
    """Return what a response that isn't 2xx says."""
    found = response.json() if response.body.startswith(b"{") else None
    if not isinstance(found, dict) or "error" not in found:
        shown = response.body[:80].decode(errors="replace")
        return ClipperError(
            f"Expected an answer of Clipper, got status {response.status}: {shown!r}; "
            "is the address that of a Clipper?",
            code=UNEXPECTED_ANSWER,
            status=response.status,
            retry_after_s=_retry_after(response),
        )
    return ClipperError(
        str(found["error"]),
        code=str(found.get("code", UNEXPECTED_ANSWER)),
        status=response.status,
        details=found.get("details") or {},
        retry_after_s=_retry_after(response),
    )


def _worth_another(error: ClipperError, *, request: Request) -> bool:
    if error.status not in LATER and error.code != UNREACHABLE:
        return False
    nothing_begun = error.status == 429 or error.code in NOTHING_BEGUN
    return request.repeatable or nothing_begun or bool(error.details.get("never_sent"))


def _retry_after(response: Response) -> float | None:
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        return None
