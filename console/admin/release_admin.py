"""Releases: a page that follows one while it goes live; the timeline lists them."""

from datetime import timedelta
from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy
from django.utils.text import format_lazy

from console.admin.base import ReadOnlyAdmin
from console.words import formats
from console.words.comparison import MEASURED, outcomes
from console.words.events import Event, events_of
from console.words.rollout_words import rollout_view, sentence_of
from registry.api.views.timeline_view import entries_for
from registry.api.visibility import applications_for
from registry.models import Release, Rollout
from registry.releases.progress import what_it_waits_for
from registry.services import approvals_of
from registry.services.rollout_actions import ACTS, DEPLOY

State = Release.State

STEPS = (
    ("Check", "The artifact is loaded in a process of its own"),
    ("Start", "Replicas start, load and warm up"),
    ("Live", "Traffic has moved over"),
)
ROLLING = ("Roll out", "A part of the queries, more as it is proved no worse")


def progress_of(release: Release) -> dict[str, Any]:
    """Return how far a release is, as its page draws it."""
    rollout: Rollout | None = getattr(release, "rollout", None)
    steps = STEPS if rollout is None else (*STEPS[:2], ROLLING, STEPS[2])
    reached, status = _position(release)
    if rollout is not None and (release.live_at or rollout.began_at):
        reached += 1
    states = ["done"] * reached + [status] + ["todo"] * len(steps)
    rolls = rollout is not None and rollout.state != Rollout.State.PLANNED
    return {
        "sentence": sentence_of(rollout) if rollout and rolls else _sentence(release),
        "steps": [(*step, state) for step, state in zip(steps, states, strict=False)],
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
    return formats.duration((ended_at - release.created_at).total_seconds())


def _acts(request: HttpRequest, rollout: Rollout) -> list[tuple[str, str, str]]:
    """Return what this person may do about an open rollout: its name, its label, its kind."""
    is_held = rollout.state == Rollout.State.HELD
    acts = [
        *([("resume", "Go on", "")] if is_held else [("pause", "Pause", "")]),
        ("promote", "Promote now", "primary"),
        ("abort", "Abort", "danger"),
    ]
    if rollout.state == Rollout.State.PLANNED:
        acts = acts[-1:]
    approvals = approvals_of(rollout)
    if approvals.missing:
        acts.insert(0, ("approve", "Approve", "primary"))
        acts = [act for act in acts if act[0] != "promote"]
        if cast(User, request.user).is_superuser:
            acts.insert(-1, ("bypass", "Promote without approvals", "danger"))
    permissions = {name: act.permission for name, act in ACTS.items()}
    may = request.user.has_perm
    return [act for act in acts if may(permissions.get(act[0], DEPLOY), rollout.model)]


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
    change_form_template = "console/release.html"
    listed_at = format_lazy("{}?kind=release", reverse_lazy("console-timeline"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Release]:
        return super().get_queryset(request).with_versions()  # type: ignore[attr-defined, no-any-return]  # the manager is a ReleaseQuerySet's

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
            rollout: Rollout | None = getattr(release, "rollout", None)
            extra = {
                "release": release,
                "progress": progress_of(release),
                "followers": followers,
                "outcome": outcomes([release], applications=applications_for(request))[0],
                "measured": MEASURED,
                "title": str(release),
                "rollout": rollout and rollout_view(rollout),
                "acts": rollout and _acts(request, rollout),
                "events": _events_of(request, release),
                "may_roll_back": request.user.has_perm("registry.roll_back_model", release.model)
                and release.state == State.LIVE
                and release.kind != Release.Kind.ROLLBACK
                and release.previous_version is not None,
            }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})
