"""Releases: the history, and a page that follows one while it goes live."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from console.admin.base import NOTHING, ReadOnlyAdmin, column, shortened, time_column
from console.words.comparison import MEASURED, outcome_lines, outcomes
from console.words.events import Event, events_of
from registry.api.views.timeline_view import entries_for
from registry.api.visibility import applications_for
from registry.models import Release
from registry.releases.progress import what_it_waits_for

State = Release.State

STATE_LABELS: Mapping[str, str] = {
    State.PENDING: "info",
    State.STARTING: "warning",
    State.LIVE: "success",
    State.FAILED: "danger",
    State.SUPERSEDED: "",
}
STEPS = (
    ("Check", "The artifact is loaded in a process of its own"),
    ("Start", "Replicas start, load and warm up"),
    ("Live", "Traffic has moved over"),
)


def progress_of(release: Release) -> dict[str, Any]:
    """Return how far a release is, as its page draws it."""
    reached, status = _position(release)
    states = ["done"] * reached + [status] + ["todo"] * len(STEPS)
    return {
        "sentence": _sentence(release),
        "steps": [(*step, state) for step, state in zip(STEPS, states, strict=False)],
        "took": _took(release),
    }


def _position(release: Release) -> tuple[int, str]:
    """Return the step that was reached and how that step stands."""
    if release.live_at is not None:
        return len(STEPS), "done"
    if release.state == State.PENDING:
        return 0, "current"
    if release.state == State.STARTING:
        return 1, "current"
    # The state says only how it ended, not where.
    reached = int(release.started_at is not None)
    return reached, "failed" if release.state == State.FAILED else "skipped"


def _sentence(release: Release) -> str:
    previous = release.previous_arm
    old = f"{previous} still answers" if previous else "no version is live yet"
    match release.state:
        case State.PENDING:
            return f"Checking the artifact: {what_it_waits_for(release)}; {old}."
        case State.STARTING:
            return f"Starting replicas: {what_it_waits_for(release)}; {old}."
        case State.LIVE:
            return f"{release.arm} answers."
        case State.FAILED:
            return f"It failed; {old}."
    if release.live_at is not None:
        return "It was live; a later release took over."
    if release.error:
        return f"It was called off before it went live; {old}."
    return "A later release took its place before it went live."


def _took(release: Release) -> str:
    ended_at = release.live_at or release.ended_at
    if ended_at is None:
        return ""
    return f"{(ended_at - release.created_at).total_seconds():.1f} s"


class OfApplication(admin.SimpleListFilter):
    """Filters releases by an application that asks their model."""

    title = parameter_name = "application"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = applications_for(request).order_by("name").values_list("name", flat=True)
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Release]) -> QuerySet[Release]:
        asked = applications_for(request).filter(name=self.value()).values("routes__model")
        return queryset.filter(model__in=asked) if self.value() else queryset


def _events_of(request: HttpRequest, release: Release) -> list[Event]:
    """Return the newest events of a release's model, from the release until it has ended."""
    if release.model is None or not request.user.has_perm("registry.view_auditentry"):
        return []
    # The entry of a release is written right after its row.
    until = release.ended_at and release.ended_at + timedelta(seconds=1)
    rows = entries_for(request)
    return events_of(
        model=release.model, since=release.created_at, until=until, rows=rows, limit=10
    )


@admin.register(Release)
class ReleaseAdmin(ReadOnlyAdmin[Release]):
    list_display = ("what", "standing", "from_version", "outcome", "who", "why", "asked", "took")
    list_filter = ("state", "kind", "model", OfApplication)
    list_per_page = 20
    search_fields = ("model_name", "version_name", "reason", "by_label", "error")
    date_hierarchy = "created_at"
    change_form_template = "console/release.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Release]:
        return super().get_queryset(request).with_versions()  # type: ignore[attr-defined, no-any-return]  # the manager is a ReleaseQuerySet's

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        shown = super().get_changelist_instance(request)
        lines = outcome_lines(shown.result_list, applications=applications_for(request))
        for release, changed in zip(shown.result_list, lines, strict=True):
            release.outcome = changed or shortened(release.error, at=60) or NOTHING
        return shown

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        release = self.get_object(request, object_id)
        extra: dict[str, Any] = {}
        if release is not None:
            followers = (
                applications_for(request)
                .filter(routes__model=release.model, routes__pinned_version=None)
                .distinct()
            )
            extra = {
                "release": release,
                "progress": progress_of(release),
                "followers": followers,
                "outcome": outcomes([release], applications=applications_for(request))[0],
                "measured": MEASURED,
                "title": str(release),
                "events": _events_of(request, release),
                "may_roll_back": request.user.has_perm("registry.roll_back_model", release.model)
                and release.state == State.LIVE
                and release.previous_version is not None,
            }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})

    what = column(
        "release", lambda row: [row.arm, row.get_kind_display()], ordering="id", header=True
    )
    standing = column(
        "state",
        lambda row: (row.state, row.get_state_display()),
        ordering="state",
        label=STATE_LABELS,
    )
    from_version = column("before", lambda row: row.previous_version_name or "none")
    outcome = column("first hour", lambda row: row.outcome)
    who = column("by", lambda row: row.by_label, ordering="by_label")
    why = column("why", lambda row: shortened(row.reason, at=60))
    asked = time_column("asked", "created_at")
    took = column("took", _took)
