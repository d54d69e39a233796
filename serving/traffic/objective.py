"""Objective of an application: which share of its queries attains it, and its error budget.

It counts well-formed, authorised predictions, each row of a batch; no rows of `score`. Bad are
those that were late, failed, were refused, or had no replica, whether they got the default output
or an error. A default in time for low confidence is an abstention and good. Invalid inputs don't
count.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from django.db.models import F, Min, Sum, TextField
from django.db.models.functions import Cast

from registry.models import Application, Release
from serving.engine.stats import LATENCY_BOUNDS
from serving.traffic.models import TrafficRow
from serving.traffic.outcome_counts import BAD, OUTCOMES, OutcomeCounts

WINDOWS: Mapping[str, timedelta] = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
    "28d": timedelta(days=28),
}


# The versions of thousands of rows: Django's own decoding takes three times as long.
_versions_in = msgspec.json.Decoder(dict[str, tuple[list[int], msgspec.Raw, msgspec.Raw]]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Attainment:
    """How an objective was kept in a period; `since` is its first query if that is later."""

    target: float
    since: datetime
    until: datetime
    counts: OutcomeCounts

    @property
    def share(self) -> float | None:
        """Return the share of good queries; None without any."""
        return self.counts.good / self.counts.total if self.counts.total else None

    @property
    def allowed(self) -> float:
        """Return how many queries may be bad: the error budget."""
        return (1.0 - self.target) * self.counts.total

    @property
    def queries_left(self) -> float:
        return self.allowed - self.counts.bad

    @property
    def burn_rate(self) -> float | None:
        """Return how fast the budget is used; at 1 it lasts just as long as the window."""
        return self.counts.bad / self.allowed if self.allowed else None

    @property
    def budget_left(self) -> float | None:
        """Return the share of the budget that is left, below 0 if more is used; None without."""
        return None if self.burn_rate is None else 1.0 - self.burn_rate

    @property
    def kept(self) -> bool:
        return self.counts.bad <= self.allowed + 1e-9

    def lasts(self, left: float) -> timedelta | None:
        """Return how long this many bad queries take at the rate of this period.

        None is for ever: as many are allowed meanwhile.
        """
        if self.kept:
            return None
        seconds = (self.until - self.since).total_seconds() * max(left, 0.0) / self.counts.bad
        return timedelta(seconds=min(seconds, 10 * 365 * 86_400.0))


def attained(application: Application, *, now: datetime, window: str = "") -> Attainment:
    """Return how the objective was kept in the window that ends now, by default its own."""
    return attained_by_all([application], now=now, window=window)[application.pk]


def attained_by_all(
    applications: Iterable[Application], *, now: datetime, window: str = ""
) -> dict[int, Attainment]:
    """Return how each application kept its objective, by key."""
    found: dict[int, Attainment] = {}
    by_window: defaultdict[str, list[Application]] = defaultdict(list)
    for application in applications:
        by_window[window or application.slo.window].append(application)
    for name, those in by_window.items():
        start = now - WINDOWS[name]
        rows = TrafficRow.objects.filter(application__in=those, at__gte=start, at__lt=now)
        sums = {outcome: Sum(outcome, default=0) for outcome in OUTCOMES}
        counted = rows.order_by().values("application").annotate(first=Min("at"), **sums)
        by_key: dict[int, dict[str, Any]] = {row["application"]: {**row} for row in counted}
        for application in those:
            own = by_key.get(application.pk, {})
            found[application.pk] = Attainment(
                target=application.slo.target,
                since=max(start, own.get("first", now)),
                until=now,
                counts=OutcomeCounts(**{name: own.get(name, 0) for name in OUTCOMES}),
            )
    return found


@dataclass(slots=True, kw_only=True)
class BudgetUse:
    """Bad queries in which one version was asked, since its last release then."""

    arm: str
    release: Release | None
    first: datetime
    last: datetime
    by_cause: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BAD, 0))

    @property
    def bad(self) -> int:
        return sum(self.by_cause.values())


def used_by_releases(
    application: Application, *, since: datetime, until: datetime
) -> list[BudgetUse]:
    """Return what used the budget in a period, most first.

    If several versions were asked and none answered, each of them has a part in it.
    """
    rows = application.traffic.filter(at__gte=since, at__lt=until)
    any_bad = F("late") + F("failed") + F("refused") + F("no_replica")
    bad = rows.annotate(bad=any_bad, text=Cast("versions", TextField())).filter(bad__gt=0)
    releases = _releases_of(application)
    used: dict[tuple[str, int | None], BudgetUse] = {}
    for at, step_s, text in bad.values_list("at", "step_s", "text"):
        end = at + timedelta(seconds=step_s)
        for arm, (outcomes, *_) in _versions_in(text).items():
            causes = outcomes[1:5]  # in the order of BAD
            if not any(causes):
                continue
            release = None
            for lived in releases.get(arm, ()):
                if lived.live_at is not None and lived.live_at < end:
                    release = lived
            key = arm, release.pk if release else None
            if (use := used.get(key)) is None:
                use = used[key] = BudgetUse(arm=arm, release=release, first=at, last=end)
            use.last = end
            for cause, number in zip(BAD, causes, strict=True):
                use.by_cause[cause] += number
    return sorted(used.values(), key=lambda use: (-use.bad, use.arm))


def _releases_of(application: Application) -> dict[str, list[Release]]:
    """Return the releases of its models that went live, by version and in order."""
    found: defaultdict[str, list[Release]] = defaultdict(list)
    models = [route.model_id for route in application.routes.all()]
    lived = Release.objects.filter(model__in=models, live_at__isnull=False)
    for release in lived.order_by("live_at", "pk"):
        found[release.arm].append(release)
    return found


class OtherObjective(NamedTuple):
    """The share that would have attained an objective, between two bounds.

    Below the present objective the two are equal. Above it, queries that were given up on at their
    deadline may or may not have been answered by then.
    """

    latency_ms: float
    low: float
    high: float


def what_if(
    counts: OutcomeCounts, *, latencies_ms: Iterable[float], slo_ms: float
) -> list[OtherObjective]:
    """Return what other objectives would have been attained, by the histogram of answers' times."""
    answered = [a - b for a, b in zip(counts.latency, counts.defaults, strict=True)]
    given_up = counts.late - max(0, sum(answered) - counts.good)
    found, total = [], counts.total or 1
    for latency_ms in latencies_ms:
        low, more = _within(answered, seconds=latency_ms / 1e3), 0
        if latency_ms < slo_ms:
            low = min(low, counts.good)
        else:
            low, more = max(low, counts.good), given_up
        found.append(OtherObjective(latency_ms, low / total, (low + more) / total))
    return found


def _within(counts: Sequence[int], *, seconds: float) -> float:
    """Estimate how many are at most this long, by linear interpolation within a bucket."""
    place = bisect_right(LATENCY_BOUNDS, seconds)
    within = float(sum(counts[:place]))
    if place < len(LATENCY_BOUNDS):
        lower = LATENCY_BOUNDS[place - 1] if place else 0.0
        within += counts[place] * (seconds - lower) / (LATENCY_BOUNDS[place] - lower)
    return within
