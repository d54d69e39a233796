"""Home: a row for each application, those that have burnt most of their error budget first."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from console.access import CHANGE, VIEW, may, shared
from console.live.processes import stack_problem
from console.pages.objective import exact
from console.words import formats
from console.words.events import Event
from console.words.standing import standing
from console.words.verdict import verdict_of
from registry.api.views.timeline_view import entries_for
from registry.api.visibility import applications_for
from registry.models import Application, AuditEntry, Route
from selection.models import SelectionSnapshot
from serving.alerts.alert_rules import rule_of
from serving.alerts.models import Alert
from serving.endpoints.management.alert_views import alerts_for
from serving.traffic.history import Point, points_of_all
from serving.traffic.objective import Attainment, attained_by_all

# Sums of 28 days and of the last day are kept so long, each of some 150 ms of a core with thirty
# applications; the last minute is read each time.
OWN_KEPT_S, LATELY_KEPT_S = 60, 25
CURVE_STEP_S = 120
ALERTS_SHOWN = 5
# Not changes, but what follows from them.
SYMPTOMS = ("scale", "crash", "fire", "resolve", "prune", "move", "check")


class Figures(NamedTuple):
    """Attainment of applications by key: in the objective's window, a day and an hour.

    Curves are the rates of queries and their p99 within the last hour.
    """

    own: Mapping[int, Attainment]
    day: Mapping[int, Attainment]
    hour: Mapping[int, Attainment]
    curves: Mapping[int, tuple[list[float], list[float | None]]]


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the index page what it shows (the theme's DASHBOARD_CALLBACK)."""
    return {**context, **home_shown(request), "title": "Home"}


@shared
def home_rows(request: HttpRequest) -> HttpResponse:
    """Answer with the part of the page that is brought up to date."""
    if not may(request, VIEW):
        raise PermissionDenied
    return TemplateResponse(request, "console/home_rows.html", home_shown(request))


def home_shown(request: HttpRequest) -> dict[str, Any]:
    """Return the rows that a person may see, filtered by `?q=`; `?idle=1` unfolds the idle ones."""
    asked = {name: request.GET.get(name, "").strip()[:63] for name in ("q", "idle")}
    shown: dict[str, Any] = {
        "may_see": may(request, VIEW),
        "may_apply": may(request, CHANGE),
        "problem": stack_problem(),
        "q": asked["q"],
        "query": urlencode({name: text for name, text in asked.items() if text}),
    }
    if not shown["may_see"]:
        return shown
    now = timezone.now()
    applications = _applications(request)
    may_see_alerts = may(request, "alerts.view_alert")
    alerts = alerts_for(request).firing().select_related("application") if may_see_alerts else ()
    firing = [alert for alert in alerts if not alert.is_muted(now)]
    rows = _rows(request, applications, firing=firing, now=now)
    rows = [row for row in rows if asked["q"].lower() in row["name"]]
    folded = [row for row in rows if row["state"] == "silent"] if not any(asked.values()) else []
    return {
        **shown,
        "any": bool(applications),
        "alerts": [_alert(alert) for alert in firing[:ALERTS_SHOWN]],
        "more_alerts": max(0, len(firing) - ALERTS_SHOWN),
        "rows": [row for row in rows if row not in folded],
        "folded": len(folded),
    }


def _applications(request: HttpRequest) -> list[Any]:
    """Return applications with their last recommendation, and their last changes' keys."""
    snapshots = SelectionSnapshot.objects.filter(application=OuterRef("pk")).order_by("-at", "-pk")
    entries = entries_for(request).exclude(action__in=SYMPTOMS).order_by("-pk")
    models = Route.objects.filter(application=OuterRef(OuterRef("pk"))).values("model")
    own = entries.filter(application_id=OuterRef("pk")).values("pk")[:1]
    of_models = entries.filter(model_id__in=models).values("pk")[:1]
    rows = applications_for(request).select_related("slo").prefetch_related("routes__model")
    return list(
        rows.annotate(
            recommendation=Subquery(snapshots.values("recommendation")[:1]),
            last_own=Subquery(own),
            last_of_models=Subquery(of_models),
        )
    )


def _figures(applications: Sequence[Application], *, now: datetime) -> Figures:
    """Return what is kept for a while of these applications."""
    # Another application may have the key of a deleted one.
    key = f"home:{hash(tuple((each.pk, each.created_at) for each in applications))}"

    def lately() -> tuple[Any, ...]:
        day, hour = (attained_by_all(applications, now=now, window=w) for w in ("1d", "1h"))
        since = now - timedelta(hours=1)
        points = points_of_all(applications, since=since, until=now, step_s=CURVE_STEP_S)
        curves = {
            key: ([p.rate for p in curve], [p.counts.quantile_ms(0.99) for p in curve])
            for key, curve in points.items()
        }
        return day, hour, curves

    own = cache.get_or_set(f"{key}:own", lambda: attained_by_all(applications, now=now), OWN_KEPT_S)
    return Figures(own, *cache.get_or_set(key, lately, LATELY_KEPT_S))  # type: ignore[arg-type,misc]  # never None


def _rows(
    request: HttpRequest, applications: Sequence[Any], *, firing: Sequence[Alert], now: datetime
) -> list[dict[str, Any]]:
    figures = _figures(applications, now=now)
    since = now - timedelta(minutes=1)
    minutes = points_of_all(applications, since=since, until=now, step_s=60)
    newest = {each.pk: max(each.last_own or 0, each.last_of_models or 0) for each in applications}
    may_see_changes = may(request, "registry.view_auditentry")
    entries = AuditEntry.objects.in_bulk(newest.values()) if may_see_changes else {}
    causes = AuditEntry.objects.in_bulk([each.cause_id for each in entries.values()])
    may_roll_back = may(request, "registry.roll_back_model")
    rows = []
    for each in sorted(applications, key=lambda each: _burnt(figures.own[each.pk]), reverse=True):
        minute = Point(at=since, seconds=60.0)
        for point in minutes[each.pk]:
            minute.counts.add_counts(point.counts)
        entry = entries.get(newest[each.pk])
        rows.append(
            {
                **_row(each, figures=figures, minute=minute, firing=firing),
                "change": entry and _change(entry, causes=causes, may_roll_back=may_roll_back),
                "changed": formats.ago(entry.at) if entry else "",
            }
        )
    return rows


def _burnt(own: Attainment) -> float:
    return -1.0 if own.burn_rate is None else own.burn_rate


def _row(
    application: Any, *, figures: Figures, minute: Point, firing: Sequence[Alert]
) -> dict[str, Any]:
    key, slo = application.pk, application.slo
    own, day, (rates, p99s) = figures.own[key], figures.day[key], figures.curves[key]
    state, words = standing(
        [alert for alert in firing if alert.application_id == key],
        own=own,
        hour=figures.hour[key],
        live=[route.model.live_version_id is not None for route in application.routes.all()],
    )
    left = own.budget_left
    return {
        "name": application.name,
        "state": state,
        "words": words,
        "rate": f"{formats.rate(minute.rate)} /s",
        "p99": formats.milliseconds(minute.counts.quantile_ms(0.99)),
        "rates": sparkline(rates),
        "p99s": sparkline(p99s, line=slo.latency_ms),
        "slow": (minute.counts.quantile_ms(0.99) or 0.0) > slo.latency_ms,
        "objective": f"{slo.target * 100:g} % within {slo.latency_ms:g} ms",
        "attained": exact(day.share),
        "attains": day.share is None or day.kept,
        "left": "" if left is None else formats.signed(left * 100).removeprefix("+") + " %",
        "spent": left is not None and left < 0,
        "verdict": verdict_of(application, application.recommendation),
    }


def _change(entry: AuditEntry, *, causes: Mapping[int, AuditEntry], may_roll_back: bool) -> Event:
    """Return what a person did, with its end, and the page that rolls it back if it is live."""
    cause = causes.get(entry.cause_id or 0)
    if cause is None:
        return Event(entry=entry)
    live = entry.action == AuditEntry.Action.GO_LIVE and cause.action == AuditEntry.Action.DEPLOY
    back = live and may_roll_back and cause.changes.get("asked_version", [""])[0]
    undo = reverse("console-roll-back", args=[cause.name]) if back else ""
    return Event(entry=cause, ends=[entry], undo=undo)


def _alert(alert: Alert) -> dict[str, Any]:
    name = alert.application.name if alert.application else ""
    title = formats.listed(rule_of(alert.rule).title, alert.subject)
    return {"application": name, "title": title, "sentence": alert.sentence}


def sparkline(values: Sequence[float | None], *, line: float | None = None) -> dict[str, Any]:
    """Return the points of a polyline in a box of 100 by 24, and the height of a line in it."""
    top = max((value for value in (*values, line) if value), default=1.0) * 1.1
    step = 100 / max(1, len(values) - 1)
    places = [
        f"{place * step:.1f},{23 - 22 * value / top:.1f}"
        for place, value in enumerate(values)
        if value is not None
    ]
    return {"points": " ".join(places), "line": line and f"{23 - 22 * line / top:.1f}"}
