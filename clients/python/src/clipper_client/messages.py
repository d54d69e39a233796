"""What goes over a websocket: each message has an id, and so has its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import CloseCode

from clipper_client.answers import Answer, FeedbackResult, known_as, parsed
from clipper_client.errors import TIMEOUT, UNEXPECTED_ANSWER, UNREACHABLE, ClipperError
from clipper_client.inputs import encoded, plain
from clipper_client.operations.options import UNSET, given
from clipper_client.wire import Address

Reply = Answer | FeedbackResult | ClipperError
# The server keeps so many open; what is sent beyond it is refused.
MOST_IN_FLIGHT = 64


def socket_path(app: str) -> str:
    return f"/ws/v1/applications/{quote(app, safe='')}"


def prediction(number: int, row: Any, *, options: Mapping[str, Any]) -> str:
    return encoded({"id": number, "input": plain(row), **given(options)}).decode()


def feedback(number: int, item: Mapping[str, Any]) -> str:
    return encoded({"id": number, "type": "feedback", **item}).decode()


def reply_of(text: str | bytes, *, app: str) -> tuple[int, Reply]:
    """Return whose answer a message is, and what it says."""
    try:
        found = msgspec.json.decode(text)
        number = int(found.pop("id"))
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError, AttributeError):
        raise ClipperError(
            f"Clipper sent something unexpected: {text[:80]!r}.", code=UNEXPECTED_ANSWER
        ) from None
    kind = found.pop("type", None)
    if kind == "error":
        error = ClipperError(
            str(found.get("error")), code=str(found.get("code")), details=found.get("details")
        )
        return number, error
    if kind == "feedback":
        return number, parsed(FeedbackResult, found)
    return number, known_as(parsed(Answer, found), application=app)


def item_of(query_id: str | Answer, *, label: Any, reward: float | None) -> dict[str, Any]:
    """Return one piece of feedback about a query."""
    known = query_id.query_id if isinstance(query_id, Answer) else query_id
    item: dict[str, Any] = {"query_id": str(known)}
    if label is not UNSET:
        item["label"] = label
    if reward is not None:
        item["reward"] = reward
    return item


def unexpected(reply: Reply) -> ClipperError:
    """Return what to raise for a reply that isn't what was asked for."""
    if isinstance(reply, ClipperError):
        return reply
    return ClipperError(f"Clipper sent something unexpected: {reply}.", code=UNEXPECTED_ANSWER)


def says_restart(closed: ConnectionClosed) -> bool:
    """Whether the server ended the connection because another process takes its place.

    Then it has answered all that it had begun with: what has no answer may be sent again.
    """
    return closed.rcvd is not None and closed.rcvd.code == CloseCode.SERVICE_RESTART


@contextmanager
def socket_failures_told(address: Address) -> Iterator[None]:
    """Raise ClipperError for whatever keeps a message from being answered."""
    try:
        yield
    except InvalidStatus as error:
        raise ClipperError(
            f"{address.url} refused the websocket with status {error.response.status_code}.",
            code=UNEXPECTED_ANSWER,
            status=error.response.status_code,
        ) from error
    except TimeoutError as error:
        raise ClipperError(f"{address.url} didn't answer in time.", code=TIMEOUT) from error
    except (WebSocketException, OSError) as error:
        raise ClipperError(
            f"The websocket to {address.url} broke: {address.reason(error)}.", code=UNREACHABLE
        ) from error
