"""Rows in which web processes tell the judge what queries and labels say of rollouts."""

from typing import NamedTuple

import msgspec

STREAM = "clipper:rollouts"
# Entries that are kept, the oldest go first: the judge is some seconds behind at most.
ENTRIES = 5_000
# Answers of a canary whose query ids are kept, by rollout.
ANSWERS, MOST_ANSWERS, ANSWERS_KEPT_S = "clipper:rollout:answers:", 10_000, 7 * 86_400

# A call that ended well, one that failed, one that was late.
GOOD, ERRORS, LATENESS = "good", "errors", "lateness"
# Before the name of a gate: of a shadow. Its rows are of queries that both versions were asked:
# each is the worse one with an even chance. The two below say how often they differ, and how often
# the live version differs from itself.
SHADOW, EVEN_CHANCE = "shadow ", 0.5
AGREEMENT, NOISE = SHADOW + "agreement", SHADOW + "noise"
# Shadows that found no room.
DROPPED = SHADOW + "dropped"
# Answers of the live version that are counted by themselves where a shadow agrees with them or not.
MOST_CLASSES = 20
# In place of a person whose good calls are not counted by themselves, and of such an answer.
OTHERS = "*"


class RolloutRow(NamedTuple):
    """Equal observations: `loss` from 0 to 1 under a gate, of the canary or the live version.

    `chance` is the canary's, `person` the hash of who was drawn once for all of their queries, ""
    where each query was drawn. Under `AGREEMENT` it is the live version's answer as JSON.
    """

    rollout_id: int
    application_id: int
    gate: str
    canary: bool
    chance: float
    loss: float = 0.0
    person: str = ""


class CanaryFailure(msgspec.Struct, frozen=True, array_like=True):
    """A query on which a canary failed or differed: its input as JSON, redacted, what was said."""

    rollout_id: int
    application: str
    input: str
    error: str


class StreamEntry(msgspec.Struct, frozen=True, array_like=True):
    """An entry of the stream; `dropped` observations found no room."""

    rows: list[tuple[RolloutRow, int]] = []
    failures: list[CanaryFailure] = []
    dropped: int = 0


write_entry = msgspec.msgpack.Encoder().encode
read_entry = msgspec.msgpack.Decoder(StreamEntry).decode
