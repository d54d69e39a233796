"""Series of an application's traffic, as the console's charts read them."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone

from console.access import VIEW, application_for, may
from console.words.colours import version_colour
from console.words.events import marks
from registry.api.views.timeline_view import entries_for
from registry.models import Application
from selection.evaluation.monitoring.history import history
from serving.traffic.history import Point, traffic
from serving.traffic.outcome_counts import OutcomeCounts


class Period(NamedTuple):
    """A period that people can choose, ending now."""

    key: str
    label: str
    length: timedelta


PERIODS = (
    Period("15m", "15 min", timedelta(minutes=15)),
    Period("1h", "1 hour", timedelta(hours=1)),
    Period("6h", "6 hours", timedelta(hours=6)),
    Period("1d", "1 day", timedelta(days=1)),
    Period("7d", "7 days", timedelta(days=7)),
    Period("30d", "30 days", timedelta(days=30)),
)
USUAL = PERIODS[1]
CAUSES = {
    "late": ("late", "--clp-warn"),
    "failed": ("failed", "--clp-bad"),
    "refused": ("refused", "--clp-accent"),
    "no_replica": ("no replica", "--clp-muted"),
    "abstained": ("abstained", "--clp-good"),
}
QUANTILES = {"p50": (0.5, "--clp-good"), "p95": (0.95, "--clp-accent"), "p99": (0.99, "--clp-warn")}


def chosen_period(request: HttpRequest) -> Period:
    return next((each for each in PERIODS if each.key == request.GET.get("period")), USUAL)


def series_json(request: HttpRequest, name: str) -> HttpResponse:
    """Answer with the charts of a period that ends now."""
    application = application_for(request, name, VIEW)
    now = timezone.now()
    points = traffic(application, since=now - chosen_period(request).length, until=now)
    answer = JsonResponse(
        {
            "at": [point.at.timestamp() for point in points],
            "charts": {
                **charts_of(points, slo_ms=application.slo.latency_ms),
                **_learned(application, points=points),
            },
            "marks": marks_of(request, application, points=points),
        }
    )
    answer["Cache-Control"] = "no-store"
    return answer


def charts_of(points: Sequence[Point], *, slo_ms: float) -> dict[str, Any]:
    """Return each chart with its unit and series, a value for each point."""
    counts = [point.counts for point in points]
    arms = sorted({arm for point in points for arm in point.versions})
    throughput = _series("queries", "--clp-accent", [point.rate for point in points])
    return {
        "throughput": {"unit": "/s", "series": [throughput]},
        "latency": {
            "unit": "ms",
            "line": slo_ms,
            "series": [
                _series(name, colour, [each.quantile_ms(q) for each in counts])
                for name, (q, colour) in QUANTILES.items()
            ],
        },
        "bad": {
            "unit": "%",
            "series": [
                _series(label, colour, [_percent(getattr(each, cause), each) for each in counts])
                for cause, (label, colour) in CAUSES.items()
            ],
        },
        "versions": {
            "unit": "/s",
            "series": [
                _series(arm, version_colour(arm), [_rate(point, arm) for point in points])
                for arm in arms
            ],
        },
    }


def _learned(application: Application, *, points: Sequence[Point]) -> dict[str, Any]:
    """Return the share right of each version's last labels, and its trust, after each point."""
    ends = [point.at + timedelta(seconds=point.seconds) for point in points]
    period = {"since": points[0].at, "until": ends[-1]} if points else None
    seen = history(application, **period)["points"] if period else []
    at = [datetime.fromisoformat(one["at"]) for one in seen]
    known = [
        seen[place]["arms"] if (place := bisect_right(at, end) - 1) >= 0 else {} for end in ends
    ]
    return {
        chart: {
            "unit": "%",
            "top": 100,
            "series": [
                _series(arm, version_colour(arm), [_share(arms, arm, name) for arms in known])
                for arm in (seen[-1]["arms"] if seen else ())
            ],
        }
        for chart, name in (("right", "reward"), ("trust", "weight"))
    }


def _share(arms: Mapping[str, Any], arm: str, name: str) -> float | None:
    share: float | None = arms.get(arm, {}).get(name)
    return None if share is None else 100.0 * share


def marks_of(
    request: HttpRequest, application: Application, *, points: Sequence[Point]
) -> list[dict[str, Any]]:
    """Return the events that a person may see, and the gaps in counts."""
    found: list[dict[str, Any]] = []
    if points and may(request, "registry.view_auditentry"):
        found = [
            {**mark, "at": datetime.fromisoformat(mark["at"]).timestamp()}
            for mark in marks(application, points[0].at, timezone.now(), rows=entries_for(request))
        ]
    text = "A process was killed: up to a second of its counts is missing"
    gaps = [point.at.timestamp() for point in points if point.gaps]
    return found + [{"at": at, "label": text, "url": "", "kind": "gap"} for at in gaps]


def _series(label: str, colour: str, values: list[float | None] | list[float]) -> dict[str, Any]:
    rounded = [None if value is None else round(value, 4) for value in values]
    return {"label": label, "colour": colour, "values": rounded}


def _percent(number: int, counts: OutcomeCounts) -> float | None:
    return 100.0 * number / counts.total if counts.total else None


def _rate(point: Point, arm: str) -> float:
    counts = point.by_arm.get(arm)
    return counts.total / point.seconds if counts is not None and point.seconds else 0.0
