"""The forms that deploy, roll back and scale, and the change that they show beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from console.words.comparison import line
from registry.models import Application, Model, ModelVersion, Release
from registry.models.models import MOST_REPLICAS
from registry.models.rollouts.rollout_plans import AT_ONCE
from registry.services import earlier_versions, summaries
from serving.endpoints.management.version_measures import measures_of


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCard:
    """One side of a change: a version, its last release, and if a rollback left it since."""

    version: ModelVersion
    last_release: Release | None
    rolled_back: bool = False
    did_well: bool = False
    measures: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The change that making `target`, the first of the `choices`, or another one live would be."""

    model: Model
    live: VersionCard | None
    choices: Sequence[VersionCard]
    following: Sequence[Application]
    pinned: Sequence[Application]
    under_way: Release | None

    @property
    def target(self) -> VersionCard:
        return self.choices[0]

    @property
    def suggested(self) -> ModelVersion | None:
        """The version to go to unless somebody chooses: never one that a rollback left."""
        return None if self.target.rolled_back else self.target.version


def change_to(version: ModelVersion) -> Change:
    return _change(version.model, choices=[version])


def change_back(model: Model) -> Change:
    """Return what rolling `model` back would change. Raises Conflict without a version for it."""
    return _change(model, choices=earlier_versions(model, most=10))


def _change(model: Model, *, choices: Sequence[ModelVersion]) -> Change:
    live = model.live_version
    cards = _cards(choices if live is None else [live, *choices])
    routes = Application.objects.filter(routes__model=model).distinct()
    following = list(routes.filter(routes__model=model, routes__pinned_version=None))
    return Change(
        model=model,
        live=None if live is None else cards[0],
        choices=cards if live is None else cards[1:],
        following=following,
        pinned=[application for application in routes if application not in following],
        under_way=Release.objects.open().with_versions().filter(model=model).first(),
    )


def _cards(versions: Sequence[ModelVersion]) -> list[VersionCard]:
    last = {release.version_id: release for release in Release.objects.last_live_of(versions)}
    return [
        VersionCard(
            version=version,
            measures=line(measured),
            last_release=last.get(version.pk),
            # `earlier` tells both.
            rolled_back=getattr(version, "rolled_back", False),
            did_well=getattr(version, "did_well", False),
        )
        for version, measured in zip(versions, measures_of(versions), strict=True)
    ]


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


class DeployForm(ReasonForm):
    """Why, by which plan, and what a deploy may do that it usually may not."""

    rollout = forms.ChoiceField(
        choices=lambda: [(name, name.replace("-", " ")) for name in summaries()],
        initial=AT_ONCE,
        required=False,
        widget=forms.RadioSelect,
    )

    anyway = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget(attrs={"data-testid": "anyway"}),
        help_text="It is checked once more. If it fails again, what is live stays live.",
    )

    allow_signature_change = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget(attrs={"data-testid": "allow-signature-change"}),
        help_text="Its inputs may have another length than those of what it replaces, or of other "
        "versions of the same applications. Without this such a release fails at its check.",
    )

    @property
    def summaries(self) -> dict[str, str]:
        return summaries()

    def clean_rollout(self) -> str:
        return str(self.cleaned_data["rollout"] or AT_ONCE)


class RollBackForm(ReasonForm):
    """Why, and to which of the versions that were live before."""

    to = forms.ModelChoiceField(
        queryset=ModelVersion.objects.none(),
        error_messages={"required": "Choose the version to go back to."},
    )

    def __init__(self, *args: Any, versions: Sequence[ModelVersion], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = ModelVersion.objects.filter(pk__in=[version.pk for version in versions])
        self.fields["to"].queryset = choices.select_related("model")  # type: ignore[attr-defined]  # the field is a ModelChoiceField


class ScaleForm(forms.Form):
    """The number of replicas of one version, within its bounds if it has some."""

    def __init__(self, *args: Any, version: ModelVersion, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        bounds = version.replica_bounds
        low, high = bounds or (0, MOST_REPLICAS)
        self.fields["replicas"] = forms.IntegerField(
            min_value=low,
            max_value=high,
            initial=version.replicas,
            widget=UnfoldAdminIntegerFieldWidget(attrs={"data-testid": "replicas"}),
            help_text="Each one is a process of its own that holds the model in memory"
            + (f"; {low} to {high}, as its autoscaling allows." if bounds else "; 0 stops all."),
        )
