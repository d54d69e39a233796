"""Traffic of an application over a period, in points of equal steps, and as one sum."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from core.errors import BadRequest
from registry.models import Application
from serving.traffic.merging import STEP_S, start_of_step
from serving.traffic.models import TrafficRow
from serving.traffic.outcome_counts import OUTCOMES, OutcomeCounts

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

    def add(self, row: TrafficRow) -> None:
        row.counts(self.by_arm)
        self.gaps += row.gaps


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
    start = start_of_step(since, step_s=step_s)
    rows = rows_of(application, since=start, until=until)
    return points_of(rows, start=start, until=until, step_s=step_s)


def points_of(
    rows: Iterable[TrafficRow], *, start: datetime, until: datetime, step_s: int
) -> list[Point]:
    step, points = timedelta(seconds=step_s), list[Point]()
    while (at := start + len(points) * step) < until:
        points.append(Point(at=at, seconds=min(step, until - at).total_seconds()))
    for row in rows:
        points[int((row.at - start) / step)].add(row)
    return points


def points_of_all(
    applications: Iterable[Application], *, since: datetime, until: datetime, step_s: int
) -> dict[int, list[Point]]:
    """Return the points of each application by its key, without versions, by one query."""
    start, step = start_of_step(since, step_s=step_s), timedelta(seconds=step_s)
    found = {
        each.pk: points_of((), start=start, until=until, step_s=step_s) for each in applications
    }
    rows = TrafficRow.objects.filter(application__in=found, at__gte=start, at__lt=until)
    # Django's own decoding of thousands of rows takes three times as long.
    texts = {f"{name}_text": Cast(name, TextField()) for name in ("latency", "defaults")}
    columns = rows.order_by().annotate(**texts)
    pairs_in = msgspec.json.Decoder(list[int]).decode
    for key, at, gaps, latency, defaults, *outcomes in columns.values_list(
        "application", "at", "gaps", *texts, *OUTCOMES
    ):
        point = found[key][int((at - start) / step)]
        point.gaps += gaps
        point.counts.add(outcomes, latency=pairs_in(latency), defaults=pairs_in(defaults))
    return found


def totals(application: Application, *, since: datetime, until: datetime) -> Point:
    """Return one point of the whole period."""
    whole = Point(at=since, seconds=(until - since).total_seconds())
    for row in rows_of(application, since=since, until=until):
        whole.add(row)
    return whole


def rows_of(application: Application, *, since: datetime, until: datetime) -> QuerySet[TrafficRow]:
    """Return the rows whose steps begin in a period, in order."""
    return application.traffic.filter(at__gte=since, at__lt=until)


def step_for(period: timedelta) -> int:
    """Return the step by which a period has few enough points for a chart."""
    seconds = period.total_seconds()
    return next((step for step in STEPS_S if seconds <= step * POINTS), STEPS_S[-1])
