"""The timeline: changes and events with filters and export, and taking a change back."""

import csv
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from unfold.widgets import UnfoldAdminTextareaWidget

from console.access import actor, may, page_with
from console.words.events import Event, events_of
from core.errors import ClipperError
from registry.api.timestamps import past_moment_of
from registry.api.views.timeline_view import TimelineEntry, entries_for, reach_of
from registry.api.visibility import applications_for, models_for
from registry.models import Application, AuditEntry, Model, ModelVersion
from registry.models.audit_entry import SETTINGS, TOPICS, AuditEntryQuerySet
from registry.services.audit_trail import shown_state
from registry.services.reverting import changed_row, revert, why_not

VIEW = "registry.view_auditentry"
PAGE = 50
MOST_EXPORTED = 10_000
FILTERS = ("application", "model", "by", "kind", "since", "until", "q")
# The first and the last of the days, as days ago.
PERIODS = (("Today", 0, 0), ("Yesterday", 1, 1), ("7 days", 6, 0), ("30 days", 29, 0))
REVERTS: dict[type, str] = {
    Application: "registry.change_application",
    Model: "registry.change_model",
    ModelVersion: "registry.change_modelversion",
}


def timeline(request: HttpRequest, entry_id: int | None = None) -> HttpResponse:
    """Show a page of it, or one event with all of its values, or export what the filters leave."""
    if not may(request, VIEW):
        raise PermissionDenied
    asked = {
        name: text
        for name in FILTERS
        if (text := request.GET.get(name, "").replace("\0", "").strip()[:200])
    }
    rows, problem = entries_for(request), ""
    if entry_id is not None:
        rows = rows.filter(pk=entry_id)
    try:
        rows = _filtered(request, rows, asked=asked)
    except ValueError as error:
        problem = str(error)
    kind = request.GET.get("format")
    if kind in EXPORTS and not problem:
        return _exported(rows, kind=kind)
    if before := _number(request.GET.get("before", "")):
        rows = rows.filter(pk__lt=before)
    events = events_of(rows=rows, limit=PAGE + 1, whole=entry_id is not None)
    page = [replace(event, undo=undo) for event, undo in _with_undo(request, events[:PAGE])]
    return page_with(
        request,
        "timeline",
        title="Timeline",
        **{"events": page, "problem": problem, "asked": asked, "query": urlencode(asked)},
        **{"topics": (SETTINGS, *TOPICS), "days": _days(asked)},
        applications=applications_for(request).order_by("name").values_list("name", flat=True),
        models=models_for(request).order_by("name").values_list("name", flat=True),
        people=_people(request, asked=asked),
        older=_url(asked, before=page[-1].entry.pk) if len(events) > PAGE else "",
        first="before" not in request.GET and entry_id is None,
    )


def _filtered(
    request: HttpRequest, rows: AuditEntryQuerySet, *, asked: Mapping[str, str]
) -> AuditEntryQuerySet:
    """Return the rows that were asked for. Raises ValueError for a time that is none."""
    if name := asked.get("application"):
        application = get_object_or_404(applications_for(request).with_everything(), name=name)
        rows = rows.touching(**reach_of(application))
    if name := asked.get("model"):
        model = get_object_or_404(models_for(request), name=name)
        rows = rows.touching(applications=(), models=[model.pk])
    if by := asked.get("by"):
        rows = rows.filter(by=by)
    if kind := asked.get("kind"):
        rows = rows.about(kind)
    if since := asked.get("since"):
        rows = rows.filter(at__gte=_moment(since))
    if until := asked.get("until"):
        rows = rows.filter(at__lt=_moment(until, end=True))
    if text := asked.get("q"):
        rows = rows.saying(text)
    return rows


def _number(text: str) -> int:
    """Return a row's number, 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _moment(text: str, *, end: bool = False) -> datetime:
    """Return a day's begin or end, or the time that the text names as in REST."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date() + timedelta(days=end)
    except (ValueError, OverflowError):
        return past_moment_of(text.replace(" ", "+"))
    return datetime.combine(day, time.min, tzinfo=timezone.get_current_timezone())


def _days(asked: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return links to usual periods."""
    today = timezone.localdate()
    found = []
    for name, first, last in PERIODS:
        period = {f: str(today - timedelta(days=n)) for f, n in (("since", first), ("until", last))}
        chosen = period.items() <= asked.items()
        found.append({"name": name, "url": _url(asked, **period), "chosen": chosen})
    return found


def _people(request: HttpRequest, *, asked: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return links to what each of those did who did one of the last thousand things."""
    lately = entries_for(request).values_list("by", flat=True)[:1000]
    names = {*list(dict.fromkeys(lately))[:12], asked.get("by", "")}
    return [
        {"name": name, "url": _url(asked, by=name), "chosen": asked.get("by") == name}
        for name in sorted(names - {""})
    ]


def _url(asked: Mapping[str, str], **changed: str | int) -> str:
    return reverse("console-timeline") + "?" + urlencode({**asked, **changed})


def _with_undo(request: HttpRequest, events: list[Event]) -> list[tuple[Event, str]]:
    """Return each event with the page that reverts it, "" if that can't be or they may not."""
    states = dict[tuple[str, int | None], Any]()
    found = []
    for event in events:
        entry, undo = event.entry, ""
        if entry.action == AuditEntry.Action.CHANGE:
            place = (entry.kind, entry.object_id)
            if place not in states:
                row = changed_row(entry)
                allowed = row is not None and request.user.has_perm(REVERTS[type(row)], row)
                states[place] = shown_state(row) if row is not None and allowed else None
            if not why_not(entry, state=states[place]):
                undo = reverse("console-revert", args=[entry.pk])
        elif entry.action in (AuditEntry.Action.DEPLOY, AuditEntry.Action.ROLL_BACK):
            undo = _way_back(request, entry)
        found.append((event, undo))
    return found


def _way_back(request: HttpRequest, entry: AuditEntry) -> str:
    """Return the page that rolls back a release which is live, to the version before it."""
    old, new = entry.changes.get("asked_version", (None, None))
    model = (
        models_for(request).filter(pk=entry.model_id or 0).select_related("live_version").first()
    )
    if not old or model is None or str(model.live_version) != new:
        return ""
    before = model.versions.filter(version=old.partition(":")[2]).first()
    if before is None or not request.user.has_perm("registry.roll_back_model", model):
        return ""
    return f"{reverse('admin:registry_model_roll_back', args=[model.pk])}?to={before.pk}"


class RevertForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="It stands in the timeline beside the change.",
    )


def revert_page(request: HttpRequest, entry_id: int) -> HttpResponse:
    """Show what reverting a change would set; a POST with a reason sets it."""
    if not may(request, VIEW):
        raise PermissionDenied
    entry = get_object_or_404(entries_for(request), pk=entry_id)
    row = changed_row(entry)
    if row is not None and not request.user.has_perm(REVERTS[type(row)], row):
        raise PermissionDenied
    (event,) = events_of(rows=AuditEntry.objects.filter(pk=entry.pk), whole=True)
    back = HttpResponseRedirect(event.url)
    problem = why_not(entry, state=None if row is None else shown_state(row))
    if problem:
        messages.error(request, f"Not reverted: {problem}")
        return back
    form = RevertForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            revert(entry, by=actor(request), reason=form.cleaned_data["reason"])
        except ClipperError as error:
            messages.error(request, error.message)
            return back
        messages.success(request, f"Reverted: {entry.name} is as it was before.")
        return HttpResponseRedirect(reverse("console-timeline"))
    title = f"Revert a change of {entry.name}"
    return page_with(request, "revert", title=title, event=event, form=form)


def _exported(rows: AuditEntryQuerySet, *, kind: str) -> HttpResponse:
    """Return the newest of them as a file."""
    found = TimelineEntry(rows[:MOST_EXPORTED], many=True).data
    if kind == "json":
        answer: HttpResponse = JsonResponse(found, safe=False)
    else:
        answer = HttpResponse(content_type="text/csv; charset=utf-8")
        writer = csv.DictWriter(answer, fieldnames=list(TimelineEntry().fields))
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in found)
    answer["Content-Disposition"] = f'attachment; filename="timeline.{kind}"'
    return answer


def _cell(value: Any) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


EXPORTS = ("csv", "json")
