"""An application's selection over a period: a line of points, and what it comes to for each arm."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from registry.models import Application
from selection.evaluation import counter_deltas
from selection.evaluation.holdout import holdout_of
from selection.evaluation.monitoring.reward_sums import RewardSums, add, add_by_arm
from selection.evaluation.monitoring.snapshots import arms_of, grouped, merge
from selection.models import SelectionSnapshot

STEPS_S = (10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400)

# As snapshots keep them. What is left of those asked are inputs that the arm refused.
COUNTERS = ("asked", "answered", "late", "failed")
STATE = ("arms", "recommendation")


def history(application: Application, *, since: datetime, until: datetime) -> dict[str, Any]:
    """Return what came from `since` to `until`, as JSON values; intervals are of the last row."""
    rows_within = SelectionSnapshot.objects.filter(
        application=application, at__gt=since, at__lte=until
    )
    stored = list(rows_within.defer("readings", *STATE))
    step_s = _step_s(stored)
    merged = {(row := merge(group)).pk: row for group in grouped(stored, step_s=step_s)}
    # Half of the time that thousands of rows take is that of states which no point shows.
    states = {pk: rest for pk, *rest in rows_within.filter(pk__in=merged).values_list("pk", *STATE)}
    rows = [row for pk, row in merged.items() if pk in states]
    for row in rows:
        row.arms, row.recommendation = states[row.pk]
    earned = add(row.earned for row in rows)
    shown = rows or _latest(application, until=until)
    return {
        "application": application.name,
        "policy": rows[-1].policy if rows else application.policy,
        "since": since.isoformat(),
        "until": until.isoformat(),
        "step_s": step_s,
        "points": _points(rows),
        "arms": _totals(shown, rewards=add_by_arm(row.rewards for row in rows)),
        "feedback": int(earned.number),
        "mean_earned": earned.mean,
        "recommendation": shown[-1].recommendation if shown else None,
        "holdout": holdout_of(application),
    }


def _latest(application: Application, *, until: datetime) -> list[SelectionSnapshot]:
    """Return how things stood where nothing has happened since, in a row in which nothing did."""
    rows = SelectionSnapshot.objects.filter(application=application, at__lte=until)
    latest = rows.defer("readings").last()
    if latest is None:
        return []
    latest.counts, latest.rewards, latest.earned = {}, {}, RewardSums()
    return [latest]


def _step_s(rows: Sequence[SelectionSnapshot]) -> int:
    """Return how far apart points are to be for there not to be too many."""
    if not rows:
        return STEPS_S[0]
    seconds = (rows[-1].at - rows[0].at).total_seconds()
    # A longer line is merged into about so many points.
    return next((step for step in STEPS_S if seconds / step <= 180), STEPS_S[-1])


def _points(rows: Sequence[SelectionSnapshot]) -> list[dict[str, Any]]:
    names, earned = arms_of(rows), [RewardSums(*row.earned) for row in rows]
    points = []
    for index, row in enumerate(rows):
        behind = slice(max(0, index + 1 - 20), index + 1)
        points.append(
            {
                "since": row.since.isoformat(),
                "at": row.at.isoformat(),
                "policy": row.policy,
                "feedback": int(earned[index].number),
                "earned": _recent(earned[behind]),
                "arms": {arm: _arm_point(rows[behind], arm=arm) for arm in names},
            }
        )
    return points


def _arm_point(rows: Sequence[SelectionSnapshot], *, arm: str) -> dict[str, Any]:
    sums, row = [RewardSums(*row.rewards.get(arm, ())) for row in rows], rows[-1]
    return {
        **_state(row.arms.get(arm)),
        **_counted(row.counts.get(arm)),
        "feedback": int(sums[-1].number),
        "reward": _recent(sums),
        "reward_interval": row.arms.get(arm, {}).get("reward_interval"),
    }


def _recent(points: Sequence[RewardSums]) -> float | None:
    """Return the mean of the last rewards up to a point; None without any."""
    total = RewardSums()
    for point in reversed(points):
        total = add((total, point))
        # A point's mean looks back over at least so many rewards.
        if total.number >= 50:
            break
    return total.mean


def _totals(
    rows: Sequence[SelectionSnapshot], *, rewards: Mapping[str, RewardSums]
) -> list[dict[str, Any]]:
    """Return what the period comes to by arm, those that are routed at its end first."""
    if not rows:
        return []
    counts = counter_deltas.add_counts(*(row.counts for row in rows))
    asked = sum(numbers[0] for numbers in counts.values())
    names = dict.fromkeys((*rows[-1].arms, *arms_of(rows)))
    return [
        {
            "model": arm.partition(":")[0],
            "version": arm.partition(":")[2],
            "routed": arm in rows[-1].arms,
            **_state(rows[-1].arms.get(arm)),
            "recent_reward": rows[-1].arms.get(arm, {}).get("reward"),
            **_counted(counts.get(arm)),
            "share": counts[arm][0] / asked if arm in counts else 0.0 if asked else None,
            "feedback": int(rewards.get(arm, RewardSums()).number),
            "mean_reward": rewards.get(arm, RewardSums()).mean,
            "reward": rows[-1].arms.get(arm, {}).get("reward_interval"),
        }
        for arm in names
    ]


def _state(state: Mapping[str, Any] | None) -> dict[str, float | None]:
    return {name: None if state is None else state[name] for name in ("weight", "probability")}


def _counted(counts: counter_deltas.Counts | None) -> dict[str, int]:
    asked, answered, late, failed = counts or (0,) * len(COUNTERS)
    return {
        **dict(zip(COUNTERS, (asked, answered, late, failed), strict=True)),
        "refused": asked - answered - late - failed,
    }
