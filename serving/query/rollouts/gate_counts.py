"""Counts of a web process for the gates of rollouts, and the stream in which they go to the judge.

What may prove a version worse is written at once, the rest each second. Rows are sums of equal
observations; while Redis is away they wait here, within bounds.
"""

import asyncio
from collections import Counter, deque
from hashlib import blake2b

import msgspec
from redis.asyncio import Redis

from core.specs import ApplicationSpec
from selection.receipts import SHADOWED, RolloutDraw
from serving.capture.redaction import EVERYTHING, names_in, redacted
from serving.engine.outcome import Outcome, Status
from serving.metrics.rollout_rows import (
    AGREEMENT,
    ANSWERS,
    ANSWERS_KEPT_S,
    DROPPED,
    ENTRIES,
    ERRORS,
    EVEN_CHANCE,
    GOOD,
    LATENESS,
    MOST_ANSWERS,
    MOST_CLASSES,
    NOISE,
    OTHERS,
    SHADOW,
    STREAM,
    CanaryFailure,
    RolloutRow,
    StreamEntry,
    write_entry,
)
from serving.query.charges import FAILED, UNKNOWN
from serving.rpc.text import safe_text

# Seconds between two entries at least.
PAUSE_S = 0.02
# Kinds of rows that wait in one process, of 70 bytes each; more are dropped, and counted.
MOST_ROWS = 5_000
# People whose good calls are counted by themselves, by process: the first ones it meets.
MOST_PEOPLE = 2_000
# Answers that are counted by themselves in the same way, by rollout, and their bytes.
CLASS_BYTES = 24
# Failures of a rollout that one process describes, and the bytes of an input or output shown.
DESCRIBED, SHOWN_BYTES = 10, 2000
# Rollouts whose people are known in one process: those of the oldest go.
MOST_ROLLOUTS = 16


class GateCounts:
    """The observations of one process that wait to be written."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._rows: Counter[RolloutRow] = Counter()
        self._failures: list[CanaryFailure] = []
        self._described: Counter[int] = Counter()
        self._answers: deque[tuple[int, str]] = deque(maxlen=MOST_ANSWERS)
        # Of each rollout, by gate, who or what is counted by themselves.
        self._known: dict[tuple[int, str], set[str]] = {}
        self.dropped = 0
        # Nothing is written while Redis has no memory left.
        self.paused = False
        self.urgent = asyncio.Event()

    @property
    def waiting(self) -> Counter[RolloutRow]:
        """The observations that wait, and how often each was made."""
        return self._rows

    @property
    def described(self) -> list[CanaryFailure]:
        """The failures that wait to be shown."""
        return self._failures

    def note_call(
        self,
        application: ApplicationSpec,
        draw: RolloutDraw,
        *,
        outcome: Outcome | None,
        accepted: bool,
        hurried: bool,
        input: bytes,
    ) -> None:
        """Count how the version drawn has answered; nothing if its outcome says nothing of it."""
        gate = gate_of(outcome, accepted=accepted, hurried=hurried)
        if gate is None:
            return
        person = hash_of(draw.person)
        sums = draw.rollout_id, application.id, gate, draw.taken, draw.chance
        if gate == GOOD:
            self._add(
                RolloutRow(*sums, person=self._met(draw.rollout_id, GOOD, person) if person else "")
            )
            return
        self._add(RolloutRow(*sums, loss=1.0, person=person))
        if draw.taken:
            said = "no answer within the objective" if outcome is None else _said(outcome)
            self._describe(application, draw, said=said, input=input)
        # Bad answers of the live version as well: the canary's alone, seen before those of other
        # processes, would make it look worse (20 % false stops where 16 processes fail at 10 %).
        self.urgent.set()

    def note_shadow(
        self,
        application: ApplicationSpec,
        draw: RolloutDraw,
        *,
        new: Outcome,
        old: Outcome,
        agree: bool,
        input: bytes,
    ) -> None:
        """Count how a shadow's answer stands beside the live version's to the same query.

        Of two that differ in having failed, each is the one with an even chance if both are alike.
        """
        fails, failed = new.status != Status.OK, old.status != Status.OK
        self._pair(application.id, draw, SHADOW + ERRORS, difference=float(fails) - float(failed))
        if not fails and not failed:
            text = bytes(old.payload) if len(old.payload) <= CLASS_BYTES else OTHERS.encode()
            answer = self._met(draw.rollout_id, AGREEMENT, text.decode(errors="replace"))
            difference = float(not agree)
            self._pair(application.id, draw, AGREEMENT, difference=difference, answer=answer)
        if fails != failed:
            self.urgent.set()
        if agree or failed:
            return
        outputs = [_shown(application, bytes(one.payload)) for one in (old, new)]
        said = _said(new) if fails else " → ".join(outputs)
        self._describe(application, draw, said=said, input=input)

    def note_noise(self, application_id: int, draw: RolloutDraw, *, agree: bool) -> None:
        """Count whether the live version agrees with itself about the same input."""
        self._pair(application_id, draw, NOISE, difference=float(not agree))

    def note_dropped(self, application_id: int, draw: RolloutDraw) -> None:
        """Count a shadow that found no room."""
        self._pair(application_id, draw, DROPPED, difference=0.0)

    def _pair(
        self, application: int, draw: RolloutDraw, gate: str, *, difference: float, answer: str = ""
    ) -> None:
        """Count one query that both were asked: by how much the canary lost more, or less."""
        row = (draw.rollout_id, application, gate, difference > 0.0, EVEN_CHANCE)
        self._add(RolloutRow(*row, loss=round(abs(difference), 2), person=answer))

    def note_label(self, application_id: int, draw: RolloutDraw, gate: str, loss: float) -> None:
        """Count what a label or a metric says of the version that was drawn.

        Of a shadow, `loss` is by how much it lost more than the live version.
        """
        if draw.chance == SHADOWED:
            self._pair(application_id, draw, gate, difference=loss)
            return
        # A hundred steps are enough to tell versions apart, and let equal labels be summed.
        row = RolloutRow(
            *(draw.rollout_id, application_id, gate, draw.taken, draw.chance),
            loss=round(loss, 2),
            person=hash_of(draw.person),
        )
        self._add(row)
        if loss >= 0.5:
            self.urgent.set()

    def note_answer(self, rollout_id: int, query_id: str) -> None:
        """Keep the id of a query that a canary was asked."""
        self._answers.append((rollout_id, query_id))

    async def flush(self) -> None:
        """Hand all that waits to Redis. Raises RedisError, and keeps it then."""
        if self.paused:
            return
        rows, self._rows = self._rows, Counter()
        failures, self._failures = self._failures, []
        answers, dropped = [*self._answers], self.dropped
        self._answers.clear()
        if not rows and not answers:
            return
        entry = StreamEntry([*rows.items()], failures, dropped)
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xadd(STREAM, {"seen": write_entry(entry)}, maxlen=ENTRIES, approximate=True)
                for rollout_id in {rollout_id for rollout_id, _ in answers}:
                    ids = [query_id for one, query_id in answers if one == rollout_id]
                    key = f"{ANSWERS}{rollout_id}"
                    pipe.rpush(key, *ids)
                    pipe.ltrim(key, -MOST_ANSWERS, -1)
                    pipe.expire(key, ANSWERS_KEPT_S)
                await pipe.execute()
        except BaseException:
            for row, count in rows.items():
                self._add(row, count)
            self._failures = failures + self._failures
            self._answers.extendleft(reversed(answers))
            raise
        self.dropped -= dropped
        await asyncio.sleep(PAUSE_S)

    def _met(self, rollout_id: int, gate: str, one: str) -> str:
        """Return a person or an answer if it is counted by itself, else what stands for others."""
        known = self._known.get((rollout_id, gate))
        if known is None:
            known = self._known[rollout_id, gate] = set()
            if len(self._known) > MOST_ROLLOUTS:
                del self._known[next(iter(self._known))]
        if one not in known:
            if len(known) >= (MOST_CLASSES if gate == AGREEMENT else MOST_PEOPLE):
                return OTHERS
            known.add(one)
        return one

    def _add(self, row: RolloutRow, count: int = 1) -> None:
        if len(self._rows) < MOST_ROWS or row in self._rows:
            self._rows[row] += count
        else:
            self.dropped += count

    def _describe(
        self, application: ApplicationSpec, draw: RolloutDraw, *, said: str, input: bytes
    ) -> None:
        if self._described[draw.rollout_id] >= DESCRIBED:
            return
        self._described[draw.rollout_id] += 1
        shown = _shown(application, input)
        self._failures.append(CanaryFailure(draw.rollout_id, application.name, shown, said))


def gate_of(outcome: Outcome | None, *, accepted: bool, hurried: bool) -> str | None:
    """Return the gate under which a call counts; None if its outcome says nothing of the version.

    An input that it refuses is its failure if another version accepts it.
    """
    if outcome is None:
        return None if hurried else LATENESS
    if outcome.status == Status.OK:
        return GOOD
    if outcome.status in FAILED or (outcome.status in UNKNOWN and accepted):
        return ERRORS
    if outcome.status in UNKNOWN or outcome.status == Status.CANCELLED:
        return None
    return None if hurried else LATENESS


def _shown(application: ApplicationSpec, text: bytes) -> str:
    """Return JSON as people may see it, "" if it is long or can't be read."""
    names = names_in(application.capture_redact)
    if EVERYTHING in names or len(text) > SHOWN_BYTES:
        return ""
    try:
        return safe_text(redacted(text, names).decode(errors="replace"), most=SHOWN_BYTES)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _said(outcome: Outcome) -> str:
    return safe_text(bytes(outcome.payload).decode(errors="replace"), most=SHOWN_BYTES)


def hash_of(person: str) -> str:
    """Return what stands for a person in the stream; "" for nobody."""
    return blake2b(person.encode(), digest_size=8).hexdigest() if person else ""
