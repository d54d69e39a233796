"""The console's page of alerts: what fires, since when, why, what to do; and what is past."""

from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model as DjangoModel
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST

from console.access import actor, may, page_with
from console.application_pages import APPLICATION_PAGES
from core.errors import ClipperError, Unavailable
from registry.models import Model, ModelVersion, Release
from serving.alerts.alert_rules import rule_of
from serving.alerts.alert_states import mute
from serving.alerts.models import Alert, Channel
from serving.alerts.outbox import event_of
from serving.endpoints.management.alert_views import alerts_for
from serving.endpoints.management.diagnosis import last_errors

VIEW, MUTE = "alerts.view_alert", "alerts.change_alert"
PAST_SHOWN = 50
BUTTONS: tuple[tuple[str, str, str, str, type[DjangoModel]], ...] = (
    (
        "version",
        "Open errors",
        "console-version-errors",
        "registry.view_modelversion",
        ModelVersion,
    ),
    ("scale", "Scale", "admin:registry_model_scale", "registry.scale_modelversion", Model),
    ("model", "Roll back", "admin:registry_model_roll_back", "registry.roll_back_model", Model),
    ("release", "Open release", "admin:registry_release_change", "registry.view_release", Release),
)


def alerts_page(request: HttpRequest) -> HttpResponse:
    """Show what fires by application, what may soon, and what is past."""
    if not may(request, VIEW):
        raise PermissionDenied
    now, name = timezone.now(), request.GET.get("application", "")
    user = cast(User, request.user)
    rows = alerts_for(request).select_related("application").order_by("application__name", "-id")
    rows = rows.filter(application__name=name) if name else rows
    shown = [_shown(alert, now=now, user=user) for alert in rows.open()]
    firing = [row for row in shown if row["state"] == Alert.State.FIRING]
    past = rows.filter(state=Alert.State.RESOLVED).order_by("-resolved_at")[:PAST_SHOWN]
    return page_with(
        request,
        "alerts",
        title="Alerts",
        name=name,
        groups=[(where, list(group)) for where, group in groupby(firing, _where)],
        pending=[row for row in shown if row["state"] == Alert.State.PENDING],
        past=[_shown(alert, now=now, user=user) for alert in past],
        channels=Channel.objects.all() if may(request, "alerts.view_channel") else None,
        may_mute=may(request, MUTE),
    )


@require_POST
def mute_alert(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Mute an alert for some hours or until a time, or unmute it."""
    if not may(request, MUTE):
        raise PermissionDenied
    alert = get_object_or_404(alerts_for(request), pk=alert_id)
    try:
        mute(alert, until=_until(request), by=actor(request))
        messages.success(request, "Muted." if alert.muted_until else "No longer muted.")
    except ClipperError as error:
        messages.error(request, error.message)
    return HttpResponseRedirect(reverse("console-alerts"))


def _until(request: HttpRequest) -> datetime | None:
    """Return the time that was asked for: `hours` from now, `until`, or None for neither."""
    hours, until = request.POST.get("hours", ""), request.POST.get("until", "")
    if hours in ("1", "8", "24"):
        return timezone.now() + timedelta(hours=int(hours))
    try:
        moment = parse_datetime(until)
    except ValueError:
        moment = None
    return timezone.make_aware(moment) if moment and timezone.is_naive(moment) else moment


def _where(row: dict[str, Any]) -> str:
    return row["application"] or "Clipper itself"


def _shown(alert: Alert, *, now: datetime, user: User) -> dict[str, Any]:
    muted = alert.muted_until if alert.is_muted(now) else None
    shown = {"alert": alert, "muted": muted, "buttons": _buttons(alert, user)}
    return {**event_of(alert), **shown, "error": _error(alert)}


def _error(alert: Alert) -> str:
    """Return the last error of the version that fails now."""
    if rule_of(alert.rule).action != "errors" or alert.state == Alert.State.RESOLVED:
        return ""
    with suppress(Unavailable):
        return next((each.error for each in last_errors(alert.links.get("version", 0))), "")
    return ""


def _buttons(alert: Alert, user: User) -> list[tuple[str, str]]:
    """Return what helps and the person may do: the page that its rule names, then the way back."""
    links, action = {**alert.suspect, **alert.links}, rule_of(alert.rule).action
    found = [
        (f"Open {page.title.lower()}", page.url(alert.application.name))
        for page in APPLICATION_PAGES
        if page.path and page.path == action and alert.application
    ]
    for name, title, view, needed, model in BUTTONS:
        pk = links.get(name)
        if (
            pk
            and (name, action) != ("version", "roll_back")
            and user.has_perm(needed, model(pk=pk))
        ):
            found.append((title, reverse(view, args=[pk])))
    return found
