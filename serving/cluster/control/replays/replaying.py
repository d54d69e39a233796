"""Takes open replays on, a second of rows at a time, so that a kill loses no more."""

import os
import random
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cache, partial
from time import monotonic, sleep
from typing import Any, NamedTuple

import msgspec
from django.db.models import F
from django.utils import timezone

from core.errors import Unavailable
from core.redis.locks import exclusively
from registry.following.reading import application_spec
from registry.models import ModelVersion
from selection.models import Feedback
from selection.rewards.losses import loss_of
from serving.capture.drain import are_unlike
from serving.capture.models import CapturedBody, CapturedInput, TrafficReplay
from serving.capture.replay_sums import ReplayedRow, sums_in
from serving.capture.sampling import UNREADABLE
from serving.capture.segments import SegmentUnreadable, body_of
from serving.cluster.control.replays.replica_asking import ReplicaAsker
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.rpc.errors import RpcError
from serving.rpc.frames.codec import AnswerStatus

LOCK = "clipper:lock:replays"
IDLE_S, SLICE_S, ROWS = 1.0, 1.0, 200
# A query that comes meanwhile waits for so long at most, if the rows are quick.
BATCH_S, BATCH_ROWS = 0.005, 16
# Without a replica for so long, it has failed.
PATIENCE = timedelta(minutes=10)

State = TrafficReplay.State


class ReplayedOutput(NamedTuple):
    """The output for an input, b"" with an error for none, and the seconds that it took."""

    text: bytes = b""
    error: str = ""
    seconds: float = 0.0


class NoReplica(Exception):
    """No replica of a version is ready, or rows can't be read now, for this reason."""


def advance_replays() -> None:
    """Take the first open replay that can go on a step further; wait a moment if none can."""
    with exclusively(LOCK, ttl_s=5.0) as lock:
        rows = TrafficReplay.objects.filter(state__in=TrafficReplay.OPEN).order_by("pk")
        rows = rows.select_related("application", "version__model__live_version__model")
        if lock is not None and any(_advance(replay) for replay in rows):
            return
    sleep(IDLE_S)


def give_way() -> None:
    """Have all other threads of this host go before this one."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def _advance(replay: TrafficReplay) -> bool:
    """Ask about a second's rows; return whether it went on. What was cancelled counts nothing."""
    now = timezone.now()
    try:
        step = list(_replayed(replay))
    except NoReplica as error:
        if now - replay.moved_at > PATIENCE:
            said = (
                str(error)
                or replay.version.load_error
                or "no replica of it was ready for 10 minutes"
            )
            _write(replay, state=State.FAILED, error=said, ended_at=now)
        return False
    sums, over = sums_in(replay.sums), not step
    unlike = partial(are_unlike, combine=replay.application.combine)
    loss = loss_of(application_spec(replay.application))
    for row in step:
        sums.note(row, unlike=unlike, loss=loss)
    _write(
        replay,
        state=State.DONE if over else State.RUNNING,
        position=replay.position if over else step[-1].number,
        done=F("done") + len(step),
        sums=msgspec.to_builtins(sums, str_keys=True),
        moved_at=now,
        ended_at=now if over else None,
    )
    return True


def _write(replay: TrafficReplay, **values: Any) -> None:
    """Write if it stands where it was read: each row counts once, and what ended has ended."""
    TrafficReplay.objects.filter(
        pk=replay.pk, position=replay.position, state__in=TrafficReplay.OPEN
    ).update(**values)


def _replayed(replay: TrafficReplay) -> Iterator[ReplayedRow]:
    """Yield the next rows with their answers. Raises NoReplica if none could be asked."""
    rows = list(replay.rows[:ROWS])
    labels, arms = _labels(rows), _Arms(replay)
    until, place, size = monotonic() + SLICE_S, 0, 1
    while place < len(rows) and monotonic() < until:
        batch, began = rows[place : place + size], monotonic()
        try:
            answered = arms.answers(batch)
        except NoReplica:
            if place:
                return
            raise
        for row in answered:
            yield row._replace(label=labels.get(row.number, ""))
        took = max(monotonic() - began, 1e-6)
        place += len(batch)
        size = max(1, min(BATCH_ROWS, 2 * size, int(size * BATCH_S / took)))
        # Half of the replica's time is left to queries.
        sleep(min(took, 1.0))


def _labels(rows: Sequence[CapturedInput]) -> dict[int, str]:
    """Return the label of each row that has one, a person's before that of feedback."""
    said = dict(
        Feedback.objects.filter(nonce__in=[row.nonce for row in rows if row.nonce])
        .exclude(label="")
        .values_list("nonce", "label")
    )
    return {row.pk: row.label or said.get(row.nonce, "") for row in rows}


def _body(row: CapturedInput) -> CapturedBody:
    try:
        return body_of(row)
    except Unavailable as error:
        raise NoReplica(error.message) from error
    except (SegmentUnreadable, zlib.error, *UNREADABLE):
        # The model is asked about null, and the row fails: it must not stop the others.
        return CapturedBody(input=msgspec.Raw(b"null"))


class _Arms:
    """The version of a replay and the live one, and their replicas that are ready."""

    def __init__(self, replay: TrafficReplay) -> None:
        self._replay, self._version = replay.pk, replay.version
        live = replay.version.model.live_version
        self._live = None if live is None or live.pk == replay.version_id else live
        self._records = [r for r in own_directory().read() if r.state is ReplicaState.READY]

    def answers(self, rows: Sequence[CapturedInput]) -> list[ReplayedRow]:
        bodies = [_body(row) for row in rows]
        inputs = [bytes(body.input) for body in bodies]
        keys = [(self._replay, row.pk) for row in rows]
        found = [
            ReplayedRow(
                number=row.pk,
                given=b"" if row.cause else bytes(body.output),
                live=bytes(body.outputs.get(str(self._live), b"")),
                now=now.text,
                error=now.error,
                seconds=now.seconds,
            )
            for row, body, now in zip(
                rows, bodies, self._ask(self._version, inputs, keys=keys), strict=True
            )
        ]
        missing = [place for place, row in enumerate(found) if not row.live]
        if self._live is not None and missing:
            with suppress(NoReplica):
                wanted = [inputs[place] for place in missing]
                asked = self._ask(self._live, wanted, keys=[keys[place] for place in missing])
                for place, output in zip(missing, asked, strict=True):
                    found[place] = found[place]._replace(live=output.text)
        return found

    def _ask(
        self, version: ModelVersion, inputs: Sequence[bytes], *, keys: Sequence[tuple[int, int]]
    ) -> list[ReplayedOutput]:
        """Return outputs; an input with which two replicas were lost has failed."""
        try:
            answers, seconds = _asker().ask(self._ready(version), inputs)
        except RpcError as error:
            if len(inputs) > 1:
                pairs = zip(inputs, keys, strict=True)
                return [self._ask(version, [each], keys=[key])[0] for each, key in pairs]
            _losses[keys[0]] += 1
            if _losses[keys[0]] > 1:
                return [ReplayedOutput(error=f"its replica was lost: {error}")]
            raise NoReplica from error
        own = seconds / len(inputs)
        return [
            ReplayedOutput(text=text, seconds=own)
            if status == AnswerStatus.OK
            else ReplayedOutput(error=text.decode(errors="replace"), seconds=own)
            for status, text in answers
        ]

    def _ready(self, version: ModelVersion) -> ReplicaRecord:
        own = (version.pk, version.generation)
        ready = [r for r in self._records if (r.version_id, r.generation) == own]
        if not ready:
            raise NoReplica
        return random.choice(ready)  # noqa: S311


_asker = cache(ReplicaAsker)
# How often a replica was lost with a row of a replay.
_losses = Counter[tuple[int, int]]()
