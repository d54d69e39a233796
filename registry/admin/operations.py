"""What the pages that deploy, roll back and scale show before they do it, and what they ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.db.models import Max
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
)

from registry.models import Application, Model, ModelVersion, Release

EARLIER_VERSIONS_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCard:
    """One side of a change: a version and who made it live the last time."""

    version: ModelVersion
    last_release: Release | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What making `target` live would change."""

    model: Model
    live: VersionCard | None
    target: VersionCard | None
    following: Sequence[Application]
    pinned: Sequence[Application]
    under_way: Release | None
    choices: Sequence[VersionCard] = field(default_factory=tuple)


def change_to(version: ModelVersion) -> Change:
    """Return what deploying `version` would change."""
    return _change(version.model, target=version, choices=())


def change_back(model: Model) -> Change:
    """Return what rolling `model` back would change, and the versions it could go back to."""
    choices = earlier_versions(model)
    return _change(model, target=choices[0] if choices else None, choices=choices)


def earlier_versions(model: Model) -> list[ModelVersion]:
    """Return the versions that were live and aren't, the most recent first."""
    versions = (
        model.versions.filter(releases__live_at__isnull=False)
        .exclude(pk=model.live_version_id or 0)
        .select_related("model", "created_by")
        .annotate(last_live_at=Max("releases__live_at"))
        .order_by("-last_live_at")
    )
    return list(versions[:EARLIER_VERSIONS_SHOWN])


def _change(
    model: Model, *, target: ModelVersion | None, choices: Sequence[ModelVersion]
) -> Change:
    routes = Application.objects.filter(routes__model=model).distinct()
    following = list(routes.filter(routes__model=model, routes__pinned_version=None))
    return Change(
        model=model,
        live=_card(model.live_version),
        target=_card(target),
        following=following,
        pinned=[application for application in routes if application not in following],
        under_way=Release.objects.open().with_versions().filter(model=model).first(),
        choices=[card for version in choices if (card := _card(version))],
    )


def _card(version: ModelVersion | None) -> VersionCard | None:
    if version is None:
        return None
    last = _last_live(version)
    return VersionCard(version=version, last_release=last)


def _last_live(version: ModelVersion) -> Release | None:
    lived = Release.objects.filter(version=version, live_at__isnull=False)
    return lived.with_versions().first()


class ReasonForm(forms.Form):
    """Why: kept with the release for whoever reads the history."""

    reason = forms.CharField(
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(
            attrs={
                "rows": 3,
                "data-testid": "reason",
                "placeholder": "What changes for the applications, and why now?",
            }
        ),
        help_text="Kept in the history, next to your name.",
        error_messages={"required": "Say why: the history is read by whoever comes next."},
    )


class RollBackForm(ReasonForm):
    """Why, and to which of the versions that were live before."""

    to = forms.ModelChoiceField(queryset=ModelVersion.objects.none(), empty_label=None)

    field_order = ("to", "reason")

    def __init__(self, *args: Any, versions: Sequence[ModelVersion], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = ModelVersion.objects.filter(pk__in=[version.pk for version in versions])
        self.fields["to"].queryset = choices.select_related("model")  # type: ignore[attr-defined]  # the field is a ModelChoiceField


class ScaleForm(forms.Form):
    """How many replicas of one version should run."""

    replicas = forms.IntegerField(
        min_value=0,
        max_value=256,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"data-testid": "replicas"}),
        help_text="Each one is a process of its own that holds the model in memory; 0 stops all.",
    )
