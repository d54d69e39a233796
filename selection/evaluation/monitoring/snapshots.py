"""Takes snapshots of what applications have learned, and merges the old ones."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Subquery

from core.specs import ApplicationSpec
from registry.models import Application
from selection.evaluation import counter_deltas
from selection.evaluation.health import watching
from selection.evaluation.health.watching import Watch
from selection.evaluation.logged import COLUMNS, LoggedQuery, Outputs, answer_rule_of, logged
from selection.evaluation.monitoring.reward_sums import (
    RewardSums,
    Trust,
    add,
    add_by_arm,
    earned_by,
    tally,
)
from selection.models import ExperimentHealth, Feedback, SelectionSnapshot

# Snapshots are taken so far apart.
STEP_S = 10
# Snapshots older than the second are merged into one for each so many seconds.
RULES = ((60, timedelta(hours=1)), (600, timedelta(days=1)), (3600, timedelta(days=7)))
KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedApplication:
    """An application at a moment, as `SelectionStore.describe` says and web processes count."""

    application: ApplicationSpec
    state: Mapping[str, Any]
    readings: counter_deltas.Readings
    weights: Mapping[str, float] = field(default_factory=dict)
    # What health checks read of each process beside the arms' counts.
    health_readings: counter_deltas.Readings = field(default_factory=dict)


def take_snapshots(
    observed: Sequence[ObservedApplication],
    *,
    now: datetime,
    pause: Callable[[], None] = lambda: None,
) -> list[SelectionSnapshot]:
    """Write down the state of each application where anything has changed since the last time."""
    unread = Feedback.objects.filter(
        application=OuterRef("application"), pk__gt=OuterRef("last_feedback")
    )
    snapshots = SelectionSnapshot.objects.filter(application=OuterRef("pk")).order_by("-at", "-pk")
    newest = Application.objects.annotate(newest=Subquery(snapshots.values("pk")[:1]))
    rows = SelectionSnapshot.objects.filter(pk__in=newest.values_list("newest", flat=True))
    found = {row.application_id: row for row in rows.annotate(unread=Exists(unread))}
    taken = []
    for each in observed:
        last = found.get(each.application.id)
        if (
            last is None
            or last.unread
            or (last.policy, last.arms) != (each.state["policy"], _arms(each.state))
            or counter_deltas.counted_since(last.readings, each.readings)
        ):
            taken.append(_take(each, last=last, now=now, pause=pause))
    return [snapshot for snapshot in taken if snapshot is not None]


def _take(
    observed: ObservedApplication,
    *,
    last: SelectionSnapshot | None,
    now: datetime,
    pause: Callable[[], None],
) -> SelectionSnapshot | None:
    application, arms = observed.application, _arms(observed.state)
    counts = counter_deltas.counted_since(last.readings if last else {}, observed.readings)
    rule = answer_rule_of(application)
    chances = {arm: known["probability"] for arm, known in arms.items()}
    watch = Watch(application, weights=observed.weights, chances=chances, now=now)
    # Feedback since the last snapshot can't have moved its trust yet.
    trusted = last.arms if last else {}
    trust = Trust(
        weights={arm: known["weight"] for arm, known in trusted.items()},
        probabilities={arm: known["probability"] for arm, known in trusted.items()},
    )
    known = last.last_feedback if last else _before_first(application.id, now=now)

    held_out = by_default = RewardSums()

    def unread() -> Iterator[LoggedQuery]:
        nonlocal known, held_out, by_default
        rows = Feedback.objects.filter(application_id=application.id, pk__gt=known).order_by("pk")
        # Further feedback goes into the next snapshot.
        read = rows.values("pk", "forced", "held_out", *watching.COLUMNS, *COLUMNS)[:50_000]
        for number, row in enumerate(read.iterator(chunk_size=500)):
            # So many rows between two pauses take 3 ms of a core.
            if number % 100 == 0:
                pause()
            # Rows are written by one process at a time, so that a later one has a higher key.
            known = row["pk"]
            watch.see(row)
            query = logged(row, outputs=Outputs(), rule=rule)
            compared = application.holdout_share and (row["held_out"] or not row["forced"])
            if query is not None and compared:
                reward = earned_by(query, trust=trust, rule=rule)
                watch.holdout.see(query, held_out=row["held_out"], reward=reward)
                if row["held_out"] and not query.defaulted:
                    held_out = add((held_out, (1.0, reward)))
            if query is not None and not row["forced"]:
                if query.defaulted:
                    by_default = add((by_default, (1.0, query.reward or 0.0)))
                yield query

    earned, rewards = tally(unread(), trust=trust, rule=rule)
    since = last.at if last else now - timedelta(seconds=STEP_S)
    snapshot = SelectionSnapshot(
        application_id=application.id,
        since=since,
        at=now,
        step_s=STEP_S,
        policy=observed.state["policy"],
        arms=arms,
        counts=counts,
        earned=earned,
        rewards=rewards,
        recommendation=observed.state["recommendation"],
        readings=counter_deltas.keep_last_readings(
            last.readings if last else {}, observed.readings
        ),
        last_feedback=known,
    )
    # The default output tells nothing of how people label the answers of models.
    labelled = add((earned, held_out, (-by_default.number, -by_default.total)))
    health = watch.concluded(counts=counts, readings=observed.health_readings, labelled=labelled)
    return snapshot if _save(snapshot, health=health) else None


def _before_first(application_id: int, *, now: datetime) -> int:
    """Return the last row of feedback from before the first snapshot, which belongs to none."""
    rows = Feedback.objects.filter(application_id=application_id).order_by("pk")
    before = rows.filter(received_at__lte=now - timedelta(seconds=STEP_S)).last()
    return 0 if before is None else before.pk


@transaction.atomic
def _save(snapshot: SelectionSnapshot, *, health: ExperimentHealth) -> bool:
    """Save it where its application is still there, which it then is until the end of this."""
    rows = Application.objects.select_for_update(no_key=True).filter(pk=snapshot.application_id)
    if rows.first() is None:
        return False
    snapshot.save(force_insert=True)
    # Both have seen the same rows of feedback.
    health.save()
    return True


def _arms(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    kept = ("weight", "probability", "reward", "reward_interval", "feedback", "queries")
    return {
        f"{arm['model']}:{arm['version']}": {name: arm[name] for name in kept}
        for arm in state["arms"]
    }


# --- merging ------------------------------------------------------------------------------------


def thin_snapshots(application_id: int, *, now: datetime) -> int:
    """Merge and drop what is older than the rules keep; return how many rows have gone."""
    gone = sum(
        _merge_old(application_id, step_s=step_s, before=now - after) for step_s, after in RULES
    )
    newest = SelectionSnapshot.objects.filter(application_id=application_id).last()
    if newest is not None:
        # The newest one stays: the next is compared with it.
        expired = SelectionSnapshot.objects.filter(
            application_id=application_id, at__lt=now - KEPT
        ).exclude(pk=newest.pk)
        gone += expired.delete()[0]
    return gone


@transaction.atomic
def _merge_old(application_id: int, *, step_s: int, before: datetime) -> int:
    # Stretches that have ended for good.
    end = datetime.fromtimestamp(int(before.timestamp()) // step_s * step_s, tz=before.tzinfo)
    settled = SelectionSnapshot.objects.filter(
        application_id=application_id, step_s__lt=step_s, at__lte=end
    )
    rows = list(settled.order_by("at", "pk")[:2_000])
    kept = [merge(group) for group in grouped(rows, step_s=step_s)]
    for merged in kept:
        merged.step_s = step_s
    gone = {row.pk for row in rows} - {merged.pk for merged in kept}
    fields = ("since", "step_s", "counts", "earned", "rewards")
    SelectionSnapshot.objects.bulk_update(kept, fields, batch_size=100)
    SelectionSnapshot.objects.filter(pk__in=gone).delete()
    return len(gone)


def grouped(rows: Iterable[SelectionSnapshot], *, step_s: int) -> list[list[SelectionSnapshot]]:
    """Return rows by the stretch of `step_s` that each lies in, its end included."""
    stretches = groupby(rows, lambda row: -int(-row.at.timestamp() // step_s))
    return [list(group) for _, group in stretches]


def merge(rows: Sequence[SelectionSnapshot]) -> SelectionSnapshot:
    """Return the last of some neighbours, in order, with what happened in all of them."""
    *_, last = rows
    last.since = rows[0].since
    last.counts = counter_deltas.add_counts(*(row.counts for row in rows))
    last.earned = add(row.earned for row in rows)
    last.rewards = add_by_arm(row.rewards for row in rows)
    return last


def arms_of(rows: Iterable[SelectionSnapshot]) -> list[str]:
    """Return the arms that any of the rows mentions, in the order in which they came."""
    return list(
        dict.fromkeys(arm for row in rows for arm in (*row.arms, *row.counts, *row.rewards))
    )
