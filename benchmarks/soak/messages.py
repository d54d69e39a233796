"""What passes between the soak and its load generator: the plan there, tallies back."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

# Applications of the soak; the ensemble is the demo's own.
SINGLE, ENSEMBLE, LEARNING = "soak-single", "digits", "soak-taught"


class Sort(StrEnum):
    """What can be wrong with a query or a piece of feedback.

    An error is an answer that should not have been, or none at all; broken is a connection that
    went away; refused is feedback that was to be sent again, and was.
    """

    ERROR = "error"
    BROKEN = "broken"
    REFUSED = "refused"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`images` are JSON numbers without the first one, which is where queries are made unique.

    `clients` says how many clients of each kind ask at once.
    """

    host: str
    port: int
    api_key: str
    images: list[str]
    labels: list[int]
    objectives_ms: dict[str, float]
    clients: dict[str, int]


class Tally(msgspec.Struct, kw_only=True):
    """What became of the queries of one kind until now. A batch of inputs is one query."""

    queries: int = 0
    errors: int = 0
    broken: int = 0
    defaults: int = 0
    late: int = 0


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was wrong, and when (monotonic, the same clock in all processes)."""

    at: float
    kind: str
    sort: Sort
    what: str


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the generator: totals until now, and the troubles since the line before."""

    at: float
    tallies: dict[str, Tally]
    acknowledged: int
    troubles: list[Trouble]

    def total(self, field: str) -> int:
        return sum(getattr(tally, field) for tally in self.tallies.values())


class Answer(msgspec.Struct, frozen=True):
    """What the load looks at in an answer of any kind."""

    id: Any = None
    query_id: str = ""
    default: bool = False
    latency_ms: float = 0.0
    error: str = ""
    accepted: int = 0
    duplicates: int = 0
    batch_predictions: list[Answer] = []


decode_answer = msgspec.json.Decoder(Answer).decode
