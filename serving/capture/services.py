"""Replays and named sets of captured queries, and what is erased of them."""

from datetime import datetime

from django.db.models import Max, Q, QuerySet, Sum
from django.utils import timezone

from core.errors import BadRequest, Conflict, Unavailable
from core.redis.locks import exclusively
from registry.following.recording import registry_write
from registry.models import Application, AuditEntry, ModelVersion
from registry.services.actor import SYSTEM, Actor
from registry.services.audit_trail import record_done
from registry.services.row_writes import locked
from selection.models import Feedback
from serving.capture.drain import drain_captured
from serving.capture.models import CapturedInput, TrafficReplay
from serving.capture.segments import LOCK, LOCK_S, tidy

MOST_OPEN, KEPT, WAIT_S = 20, 50, 20.0
_State = TrafficReplay.State
# By what people do: the states in which they may, and the state that follows.
REPLAY_ACTS = {
    "cancel": (TrafficReplay.OPEN, _State.CANCELLED),
    "resume": ((_State.CANCELLED, _State.FAILED), _State.QUEUED),
}


@registry_write
def begin_replay(
    *,
    application: Application,
    version: ModelVersion,
    by: Actor,
    since: datetime | None = None,
    until: datetime | None = None,
    set_name: str = "",
) -> TrafficReplay:
    """Queue a replay of captured rows. Raises BadRequest if there are none, Conflict."""
    locked(version.model)
    replays = TrafficReplay.objects.filter(version=version)
    if replays.filter(state__in=TrafficReplay.OPEN).count() >= MOST_OPEN:
        raise Conflict(f"{version} has {MOST_OPEN} replays under way: wait, or cancel one.")
    replay = TrafficReplay(
        application=application,
        version=version,
        since=since,
        until=until,
        set_name=set_name,
        by=by.label[:150],
        last_row=CapturedInput.objects.aggregate(last=Max("pk"))["last"] or 0,
    )
    replay.total = replay.rows.count()
    if not replay.total:
        raise BadRequest(
            f"{application.name}: Expected captured queries to replay, found none: capture some "
            "first, or choose another time or set."
        )
    replay.save()
    _record(replay.version, by=by, what="replay", to=f"{replay.total:,} rows of {application.name}")
    kept = replays.exclude(state__in=TrafficReplay.OPEN).order_by("-pk").values("pk")[KEPT:]
    replays.filter(pk__in=[row["pk"] for row in kept]).delete()
    return replay


@registry_write
def act_on_replay(replay: TrafficReplay, action: str, *, by: Actor) -> TrafficReplay:
    """Ask about no more of its rows ("cancel"), or go on with the next ("resume").

    Raises BadRequest, and Conflict if its state doesn't allow that.
    """
    if action not in REPLAY_ACTS:
        raise BadRequest(f"action: Expected cancel or resume, got {action!r}.", fields=["action"])
    before, after = REPLAY_ACTS[action]
    now, is_open = timezone.now(), after in TrafficReplay.OPEN
    rows = TrafficReplay.objects.filter(pk=replay.pk, state__in=before)
    changes = {"state": after, "error": "", "moved_at": now, "ended_at": None if is_open else now}
    changed = rows.update(**changes)
    replay.refresh_from_db()
    if not changed:
        raise Conflict(f"The {replay} can't {action}: it is {replay.state}.")
    _record(replay.version, by=by, what=f"replay {replay.pk}", to=after)
    return replay


@registry_write
def keep_as_set(
    application: Application, rows: QuerySet[CapturedInput], *, name: str, by: Actor
) -> int:
    """Keep rows that are in no set yet as one; return how many. Raises BadRequest, Conflict."""
    locked(application)
    name = name.strip()
    if not name or len(name) > 63 or not name.isprintable():
        raise BadRequest(f"name: Expected 1 to 63 characters that can be seen, got {name[:63]!r}.")
    numbers = list(rows.filter(set_name="").values_list("pk", flat=True))
    if not numbers:
        raise BadRequest("Expected captured queries that are in no set yet, found none.")
    mine = CapturedInput.objects.filter(application=application)
    size = sum(
        each.aggregate(total=Sum("size"))["total"] or 0
        for each in (rows.filter(set_name=""), mine.exclude(set_name=""))
    )
    if size > application.capture_bytes:
        raise Conflict(
            f"The sets would hold {size:,} bytes, more than the {application.capture_bytes:,} that "
            "the application keeps: choose fewer rows, or drop a set."
        )
    for first in range(0, len(numbers), 500):
        mine.filter(pk__in=numbers[first : first + 500]).update(set_name=name)
    _record(application, by=by, what=f"captured set {name}", to=f"{len(numbers):,} more rows")
    return len(numbers)


@registry_write
def drop_set(application: Application, *, name: str, by: Actor) -> int:
    """Leave a set's rows to retention again; return how many there were."""
    rows = CapturedInput.objects.filter(application=application, set_name=name)
    left = rows.update(set_name="") if name else 0
    if left:
        _record(application, by=by, what=f"captured set {name}", to="dropped")
    return left


def erase_captured(application: Application, *, key: str = "", context: str = "", by: Actor) -> int:
    """Delete all captured rows of a key or a context, of sets and files too; return how many.

    Raises Unavailable, InsufficientStorage: the files are written anew as soon as they can be.
    """
    while drain_captured(wait_s=WAIT_S):
        pass  # what waits in Redis may be theirs
    said = Feedback.objects.filter(application=application, key=key).exclude(nonce="")
    mine = Q(key=key) | Q(nonce__in=said.values("nonce")) if key else Q(context=context)
    with exclusively(LOCK, ttl_s=LOCK_S, wait_s=WAIT_S) as lock:
        if lock is None:
            raise Unavailable(
                "The files of captured queries are being written, or copied by a backup: nothing "
                "was erased. Try again; after a backup that was killed, in an hour."
            )
        with registry_write:
            gone = CapturedInput.objects.filter(mine, application=application).delete()[0]
            whose = "a key" if key else "a context"
            _record(application, by=by, what=f"captured rows of {whose}", to=f"{gone:,} erased")
        tidy(lock)
    return gone


def _record(row: ModelVersion | Application, *, by: Actor, what: str, to: str) -> None:
    if by is not SYSTEM:
        changes = {what: [None, to]}
        record_done(row, by=by, action=AuditEntry.Action.CHECK, changes=changes)
