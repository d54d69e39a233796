"""Entries of the stream that carries feedback to the database, and their places in its order."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from selection.feedback.events import FeedbackEvent, ResetEvent

# Fields of an entry, as the scripts that append them name them.
EVENT_FIELD, RESET_FIELD, GONE_FIELD = b"event", b"reset", b"gone"
# Bits that tell entries of one millisecond apart.
PLACE_BITS = 20

StreamEntry = tuple[bytes, Mapping[bytes, bytes] | None]

_feedback = msgspec.msgpack.Decoder(FeedbackEvent)
_reset = msgspec.msgpack.Decoder(ResetEvent)
_contexts = msgspec.msgpack.Decoder(list[str])


class CountedEntry(NamedTuple):
    """An entry of the stream as read; `gone` are contexts that were forgotten just before it."""

    position: int
    event: FeedbackEvent | ResetEvent
    gone: list[str]


def read_entry(entry: StreamEntry) -> CountedEntry:
    """Read an entry of the stream. Raises KeyError or msgspec.DecodeError for anything else."""
    fields = entry[1] or {}
    return CountedEntry(
        position=in_order(entry[0].decode()),
        event=_reset.decode(fields[RESET_FIELD])
        if RESET_FIELD in fields
        else _feedback.decode(fields[EVENT_FIELD]),
        gone=_contexts.decode(fields[GONE_FIELD]) if GONE_FIELD in fields else [],
    )


def in_order(position: str) -> int:
    """Return a number that grows with the entries of a stream: their milliseconds, then places."""
    milliseconds, _, place = position.partition("-")
    return int(milliseconds) << PLACE_BITS | int(place)


def position_text(position: int) -> str:
    """Return what `in_order` was made of."""
    return f"{position >> PLACE_BITS}-{position & ((1 << PLACE_BITS) - 1)}"
