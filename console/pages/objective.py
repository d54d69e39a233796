"""The tab on an application's objective: attainment, error budget, and what used it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from math import floor
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from console.access import VIEW, application_for, tab_of
from console.pages.traffic_series import CAUSES, marks_of
from console.words import formats
from console.words.colours import version_colour
from console.words.tile import Tile
from registry.models import Application, ServiceLevelObjective
from serving.traffic.history import Point, points_of_all
from serving.traffic.merging import start_of_step
from serving.traffic.objective import (
    WINDOWS,
    Attainment,
    BudgetUse,
    attained,
    used_by_releases,
    what_if,
)
from serving.traffic.outcome_counts import OutcomeCounts

STEP_S, DAYS = 7200, 28
TIMES = "\N{MULTIPLICATION SIGN}"
OTHERS = (0.5, 0.8, 1.2, 2.0)


def objective(request: HttpRequest, name: str) -> HttpResponse:
    """Show how the objective is kept in its window, and over 28 days."""
    application, now = application_for(request, name, VIEW), timezone.now()
    slo = application.slo
    found = {window: attained(application, now=now, window=window) for window in WINDOWS}
    own = found[slo.window]
    key = f"month:{application.pk}:{application.created_at.timestamp()}:{slo.window}"
    # Thousands of rows; what is new of the last minute is in the figures above.
    if (month := cache.get(key)) is None:
        month = _month(application, since=own.since, until=now)
        cache.set(key, month, 60)
    points, used = month
    within = [point for point in points if point.at >= own.since - timedelta(seconds=STEP_S)]
    total = OutcomeCounts()
    for point in within:
        total.add_counts(point.counts)
    return tab_of(
        request,
        application,
        "objective",
        title=f"{application}: objective",
        slo=slo,
        target=f"{slo.target * 100:g} %",
        own=_shown(own),
        tiles=_tiles(own, recent=found["1d"] if slo.window != "1h" else own, slo=slo),
        windows=[
            {"name": window, "current": window == slo.window, **_shown(attainment)}
            for window, attainment in found.items()
        ],
        days=_days(points, target=slo.target),
        curve={
            "at": [point.at.timestamp() for point in within],
            "charts": {"budget": _budget_curve(within, own=own)},
            "marks": marks_of(request, application, points=within),
        },
        causes=[
            (label, f"{number:,}", colour, formats.share(number / own.counts.bad))
            for cause, number in own.counts.bad_by_cause().items()
            for label, colour in [CAUSES[cause]]
            if number
        ],
        left_out=[f"{own.counts.abstained:,}", f"{own.counts.invalid:,}"],
        used=[_use(use, bad=own.counts.bad) for use in used[:20]],
        others=[
            (f"{latency:g} ms", exact(low), exact(high) if high > low else "")
            for latency, low, high in what_if(
                total,
                latencies_ms=[float(f"{slo.latency_ms * part:.3g}") for part in OTHERS],
                slo_ms=slo.latency_ms,
            )
        ],
    )


def _month(
    application: Application, *, since: datetime, until: datetime
) -> tuple[list[Point], list[BudgetUse]]:
    """Return points of 28 days, without versions, and what used the budget since."""
    start = start_of_step(until - timedelta(days=DAYS), step_s=86_400)
    points = points_of_all([application], since=start, until=until, step_s=STEP_S)[application.pk]
    return points, used_by_releases(application, since=since, until=until)


def exact(share: float | None) -> str:
    """Return a share with two decimals, rounded down: 99.996 % isn't 100."""
    return formats.NOTHING if share is None else f"{floor(share * 1e4 + 1e-7) / 100:.2f} %"


def _shown(attainment: Attainment) -> dict[str, Any]:
    return {
        "share": exact(attainment.share),
        "state": "" if attainment.share is None else "good" if attainment.kept else "stopped",
        "burn": formats.NOTHING
        if attainment.burn_rate is None
        else f"{formats.mean(attainment.burn_rate)} {TIMES}",
        "since": attainment.since,
        "counts": attainment.counts,
    }


def _tiles(own: Attainment, *, recent: Attainment, slo: ServiceLevelObjective) -> list[Tile]:
    """Return the numbers that the page begins with."""
    length, age = WINDOWS[slo.window], own.until - own.since
    window = slo.get_window_display()
    young = age < length * 0.99 and own.counts.total
    spent, left = own.burn_rate, own.queries_left
    lasts = recent.lasts(left)
    budget = formats.NOTHING if spent is None else f"{formats.signed((1 - spent) * 100)} %"
    rest = "for good" if lasts is None else formats.duration(lasts.total_seconds())
    gone = "fewer were bad than it allows" if lasts is None else "until the budget is used up"
    if left < 0:
        rest, gone = "used up", f"{formats.count(round(-left))} more were bad than it allows"
    span = f"since {formats.duration(age.total_seconds())} of {window}" if young else f"in {window}"
    shown, queries = _shown(own), formats.count(own.counts.total)
    rate = "At this rate" if recent is own else "At the rate of the last day"
    bad = f"{formats.count(own.counts.bad)} of {formats.count(floor(own.allowed))} bad"
    even = f"at 1 {TIMES} the budget lasts as long as its window"
    return [
        Tile("Attainment", shown["share"], (f"{queries} queries, {span}",), state=shown["state"]),
        Tile("Error budget left", budget.removeprefix("+"), (bad,), state=shown["state"]),
        Tile(rate, rest, (gone,)),
        Tile("Burn rate", shown["burn"], (even,)),
    ]


def _days(points: Sequence[Point], *, target: float) -> list[dict[str, str]]:
    cells = []
    for day, group in groupby(points, lambda point: point.at.date()):
        good = bad = 0
        for point in group:
            good, bad = good + point.counts.good, bad + point.counts.bad
        share = good / (good + bad) if good + bad else None
        state = "" if share is None else "good" if share >= target else "late"
        if share is not None and 1 - share > 10 * (1 - target):
            state = "stopped"
        words = f"{exact(share)}, {bad:,} of {good + bad:,} bad" if good + bad else "no queries"
        cells.append({"state": state, "title": f"{day.day} {day:%b}: {words}"})
    return cells[-DAYS:]


def _budget_curve(points: Sequence[Point], *, own: Attainment) -> dict[str, Any]:
    """Return the part of the budget that was left after each step, in percent."""
    bad, values = 0, []
    for point in points:
        bad += point.counts.bad
        values.append(round(100.0 * (1.0 - bad / own.allowed), 3) if own.allowed else None)
    series = {"label": "budget left", "colour": "--clp-accent", "values": values}
    return {"unit": "%", "top": 105, "line": 0, "line_label": "used up", "series": [series]}


def _use(use: BudgetUse, *, bad: int) -> dict[str, Any]:
    causes = [(CAUSES[cause][0], number) for cause, number in use.by_cause.items() if number]
    return {
        "arm": use.arm,
        "colour": version_colour(use.arm),
        "release": use.release,
        "bad": f"{use.bad:,}",
        "share": formats.share(use.bad / bad) if bad else formats.NOTHING,
        "causes": formats.listed(*(f"{number:,} {label}" for label, number in causes)),
        "first": use.first,
        "span": formats.duration((use.last - use.first).total_seconds()),
    }
