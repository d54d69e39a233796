"""Traffic of an application over a period, in points of equal steps, and as one sum."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

from core.errors import BadRequest
from registry.models import Application
from serving.traffic.merging import STEP_S, start_of_step
from serving.traffic.models import TrafficRow
from serving.traffic.outcome_counts import COLUMNS, OutcomeCounts, add_row

# Steps that a period is divided into, the first by which it has few enough points.
STEPS_S = (STEP_S, 60, 600, 1800, 3600, 7200, 21_600, 86_400)
POINTS, MOST_POINTS = 400, 10_000


@dataclass(slots=True, kw_only=True)
class Point:
    """Outcomes of queries within `seconds` from `at` on, in all and by version."""

    at: datetime
    seconds: float
    by_arm: dict[str, OutcomeCounts] = field(default_factory=lambda: {"": OutcomeCounts()})
    # Processes killed then: up to a second of their counts is missing.
    gaps: int = 0

    @property
    def counts(self) -> OutcomeCounts:
        return self.by_arm[""]

    @property
    def versions(self) -> dict[str, OutcomeCounts]:
        return {arm: counts for arm, counts in self.by_arm.items() if arm}

    @property
    def rate(self) -> float:
        """Return the queries a second, invalid inputs included."""
        return (self.counts.total + self.counts.invalid) / self.seconds if self.seconds else 0.0


def traffic(
    application: Application, *, since: datetime, until: datetime, step_s: int | None = None
) -> list[Point]:
    """Return a point for each step from `since` to `until`, those without queries included.

    A step of a time that is kept more coarsely has its counts at the first of the steps that are
    merged there. The last point has the seconds that are over.
    """
    step_s = step_s or step_for(until - since)
    if (until - since).total_seconds() > step_s * MOST_POINTS:
        raise BadRequest(f"Expected at most {MOST_POINTS:,} points, got more: step_s is too short.")
    found = points_of_all([application], since=since, until=until, step_s=step_s, versions=True)
    return found[application.pk]


def points_of_all(
    applications: Iterable[Application],
    *,
    since: datetime,
    until: datetime,
    step_s: int,
    versions: bool = False,
) -> dict[int, list[Point]]:
    """Return the points of each application by its key, by one query."""
    start, step = start_of_step(since, step_s=step_s), timedelta(seconds=step_s)
    number = ceil((until - start) / step)
    found = {
        each.pk: [
            Point(at=at, seconds=min(step, until - at).total_seconds())
            for at in (start + place * step for place in range(number))
        ]
        for each in applications
    }
    rows = TrafficRow.objects.filter(application__in=found, at__gte=start, at__lt=until).order_by()
    columns = COLUMNS if versions else COLUMNS[:-1]
    # Instances of thousands of rows would take as long as their counts.
    for key, at, gaps, *counts in rows.values_list("application", "at", "gaps", *columns):
        point = found[key][int((at - start) / step)]
        point.gaps += gaps
        add_row(point.by_arm, counts if versions else [*counts, {}])
    return found


def totals(application: Application, *, since: datetime, until: datetime) -> Point:
    """Return one point of the whole period."""
    whole = Point(at=since, seconds=(until - since).total_seconds())
    for row in application.traffic.filter(at__gte=since, at__lt=until):
        row.counts(whole.by_arm)
        whole.gaps += row.gaps
    return whole


def step_for(period: timedelta) -> int:
    """Return the step by which a period has few enough points for a chart."""
    seconds = period.total_seconds()
    return next((step for step in STEPS_S if seconds <= step * POINTS), STEPS_S[-1])
