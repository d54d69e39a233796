"""Bodies and answers of the management API."""

from typing import Any

import msgspec
from rest_framework import serializers

from registry.api.fields import (
    LONG_TEXT,
    Body,
    Flag,
    ModelBody,
    Number,
    NumberOrAuto,
    SecretText,
    StoredJson,
    Text,
    Whole,
    choices_of,
    one_of,
    optional,
    validators_of,
)
from registry.models import (
    Application,
    Model,
    ModelVersion,
    Release,
    Rollout,
    Route,
    ServiceLevelObjective,
    VersionCheck,
)
from registry.models.rollouts.rollout_plans import AT_ONCE, PLANS
from registry.models.settable_columns import settable
from registry.releases.progress import read_progress, what_it_waits_for
from registry.services import RouteRequest
from registry.services.applications import CHANGEABLE, OBJECTIVE
from registry.services.approvals import approvals_of
from registry.services.versions import CONFIGURABLE
from registry.versions.extensions import extensions


class ErrorBody(serializers.Serializer[Any]):
    """Every answer that isn't 2xx."""

    error = serializers.CharField(help_text="What is wrong and what was expected.")
    code = serializers.CharField(help_text="A stable name for the kind of error.")
    details = serializers.DictField()


# --- Applications ------------------------------------------------------------------------------


class ObjectiveOut(serializers.ModelSerializer[ServiceLevelObjective]):
    class Meta:
        model = ServiceLevelObjective
        fields = OBJECTIVE


class ObjectiveChange(ModelBody):
    class Meta:
        model = ServiceLevelObjective
        columns = OBJECTIVE
        help_texts = {"target": "Share of queries to answer in time: 0.99 means 99 %."}


class RouteOut(serializers.ModelSerializer[Route]):
    """`version` is the one it is pinned to; null where it follows the model's live version."""

    model = serializers.CharField(source="model.name")
    version = optional("pinned_version.version")
    live_version = optional("model.live_version.version")

    class Meta:
        model = Route
        fields = ("model", "version", "live_version", "role", "weight")


SLO_MS = validators_of(ServiceLevelObjective, "latency_ms")
SIGNATURE_HELP = "Take a version that takes or gives something else than the others."


class RouteIn(Body):
    model = Text()
    version = Text(required=False, allow_null=True, help_text="Left out: the live version.")
    role = Text(required=False, help_text=choices_of(Route, "role"))
    weight = Number(required=False)

    def to_internal_value(self, data: Any) -> RouteRequest:
        return RouteRequest(**super().to_internal_value(data))


class ApplicationOut(serializers.ModelSerializer[Application]):
    """`has_default_output` tells a default output that is null from none at all."""

    default_output = StoredJson()
    has_default_output = serializers.SerializerMethodField()
    policy_params = serializers.DictField()
    slo = ObjectiveOut()
    routes = RouteOut(many=True)

    class Meta:
        model = Application
        fields = (
            *settable(Application),
            "has_default_output",
            "slo",
            "routes",
            "created_at",
            "updated_at",
        )

    def get_has_default_output(self, application: Application) -> bool:
        return application.default_output != ""


class ApplicationChange(ModelBody):
    default_output = serializers.JSONField(
        required=False, allow_null=True, help_text="Any JSON value, null included."
    )

    class Meta:
        model = Application
        columns = CHANGEABLE
        help_texts = {
            "policy": one_of(lambda: extensions.policy_names()),
            "policy_params": "Numbers by name; each policy has its own.",
            "combine": one_of(lambda: extensions.combine_names()),
        }


class ChangeWithObjective(ApplicationChange):
    """A change of an application and of its objective."""

    slo_ms = Number(
        source="latency_ms",
        validators=SLO_MS,
        required=False,
        help_text="Every query is answered within this time. Needed where it isn't there yet.",
    )
    slo_target = Number(
        source="target",
        required=False,
        validators=validators_of(ServiceLevelObjective, "target"),
        help_text="Share of queries to answer in time.",
    )
    slo_window = Text(
        source="window",
        required=False,
        help_text=choices_of(ServiceLevelObjective, "window"),
    )


class ApplicationPatch(ChangeWithObjective):
    """A change of an application and of its objective."""

    has_default_output = Flag(
        required=False, help_text="false removes the default output: such queries then fail."
    )

    def changes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the changes of the application and of its objective."""
        changes: dict[str, Any] = dict(self.validated_data)
        objective = {name: changes.pop(name) for name in OBJECTIVE if name in changes}
        wanted = changes.pop("has_default_output", None)
        if wanted is False and "default_output" in changes:
            raise serializers.ValidationError(
                {"has_default_output": "Expected true together with default_output, got false."}
            )
        if wanted is False:
            changes["default_output"] = msgspec.UNSET
        return changes, objective


class NewApplication(ApplicationChange):
    """An application with its objective and its routes."""

    name = Text()
    input_type = Text(help_text=choices_of(Application, "input_type"))
    slo_ms = Number(validators=SLO_MS, help_text="Every query is answered within this time.")
    routes = RouteIn(many=True, required=False)
    allow_signature_change = Flag(required=False, help_text=SIGNATURE_HELP)


class DeclaredApplication(ChangeWithObjective):
    """An application as it is to be. What is left out stays as it is, or gets its default."""

    input_type = Text(
        required=False,
        help_text=f"Needed where it isn't there yet. {choices_of(Application, 'input_type')}",
    )
    routes = RouteIn(many=True, required=False)
    allow_signature_change = Flag(required=False, help_text=SIGNATURE_HELP)

    def declared(self) -> dict[str, Any]:
        """Return the declaration as services take it."""
        fields: dict[str, Any] = dict(self.validated_data)
        apart = ("input_type", "allow_signature_change", "routes")
        return {name: fields.pop(name) for name in apart if name in fields} | {"fields": fields}


# What a declaration calls the parts of an objective.
AS_DECLARED = {"latency_ms": "slo_ms", "target": "slo_target", "window": "slo_window"}


class DeclaredApplicationOut(ApplicationOut):
    """`changed` names what was something else before: nothing where all was so already."""

    changed = serializers.ListField(child=serializers.CharField())

    class Meta(ApplicationOut.Meta):
        fields = (*ApplicationOut.Meta.fields, "changed")


# --- Models and versions -----------------------------------------------------------------------


class ModelOut(serializers.ModelSerializer[Model]):
    """`versions` are the names of its versions, newest first."""

    live_version = optional("live_version.version")
    versions = serializers.SerializerMethodField()
    rollout = serializers.IntegerField(
        source="rollout_id",
        read_only=True,
        allow_null=True,
        help_text="Number of its rollout that has begun and not ended; null: none.",
    )

    class Meta:
        model = Model
        fields: tuple[str, ...] = (
            "name",
            "input_type",
            "description",
            "live_version",
            "versions",
            "rollout",
            "approvals",
            "approved_step",
            "created_at",
        )

    def get_versions(self, model: Model) -> list[str]:
        return [version.version for version in model.versions.all()]


class ModelPatch(Body):
    description = Text(required=False, allow_blank=True, max_length=LONG_TEXT)


class ModelChange(ModelPatch):
    approvals = Whole(
        required=False, help_text="People who have to approve a rollout; superusers set it."
    )
    approved_step = Text(required=False, help_text=choices_of(Model, "approved_step"))


class DeclaredModel(ModelPatch):
    """A model as it is to be. What is left out stays as it is."""

    input_type = Text(
        required=False,
        help_text=f"Needed where it isn't there yet. {choices_of(Model, 'input_type')}",
    )


class DeclaredModelOut(ModelOut):
    """`changed` names what was something else before: nothing where all was so already."""

    changed = serializers.ListField(child=serializers.CharField())

    class Meta(ModelOut.Meta):
        fields = (*ModelOut.Meta.fields, "changed")


class NewModel(ModelPatch):
    name = Text()
    input_type = Text(help_text=choices_of(Model, "input_type"))


class CheckOut(serializers.ModelSerializer[VersionCheck]):
    """The last check of a version."""

    progress = serializers.SerializerMethodField(
        help_text='What it does or waits for, "" once it has ended.'
    )

    class Meta:
        model = VersionCheck
        fields = ("state", "progress", "error", "output", "report", "created_at", "ended_at")

    def get_progress(self, check: VersionCheck) -> str:
        return read_progress(check.pk) if check.is_open else ""


class VersionOut(serializers.ModelSerializer[ModelVersion]):
    """`warm_until`: its replicas are kept until then, so that a rollback to it is immediate."""

    model = serializers.CharField(source="model.name")
    batch_wait_ms = NumberOrAuto()
    example = StoredJson(help_text="An input; null where none was given.")
    signature = StoredJson(help_text="The shape of its inputs; null if that isn't known yet.")
    live = serializers.BooleanField(source="is_live")
    remote = serializers.DictField(
        read_only=True,
        allow_null=True,
        help_text="The configuration of a remote version; else null.",
    )
    has_secret = serializers.SerializerMethodField(help_text="True if it has a secret.")
    check = CheckOut(
        source="last_check",
        read_only=True,
        allow_null=True,
        help_text="It begins when the version is uploaded; null where there was none since.",
    )
    created_by = optional("created_by.username")

    class Meta:
        model = ModelVersion
        fields = (
            *settable(ModelVersion),
            "digest",
            "size",
            "remote",
            "has_secret",
            "live",
            "warm_until",
            "validated_at",
            "n_features",
            "check",
            "load_error",
            "created_at",
            "created_by",
        )

    def get_has_secret(self, version: ModelVersion) -> bool:
        return version.secret != ""


AFTERWARDS = "Holds for replicas started from then on."
BATCH_WAIT_HELP = "How long to wait for a fuller batch: 0 sends at once, auto learns what pays."


class VersionPatch(ModelBody):
    """A change of how a version runs; null clears a bound or a limit."""

    batch_wait_ms = NumberOrAuto(required=False, allow_null=True, help_text=BATCH_WAIT_HELP)
    secret = SecretText(
        required=False,
        allow_blank=True,
        help_text=f"For a remote version, write-only. {AFTERWARDS}",
    )

    class Meta:
        model = ModelVersion
        columns = CONFIGURABLE
        help_texts = dict.fromkeys(("memory_limit_mb", "threads", "load_timeout_s"), AFTERWARDS)


class Scale(Body):
    replicas = Whole()
    version = Text(required=False, help_text="Left out: the live version.")


# --- Releases ----------------------------------------------------------------------------------


class ReleaseOut(serializers.ModelSerializer[Release]):
    model = serializers.CharField(source="model_name")
    version = serializers.CharField(source="version_name")
    previous_version = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField(
        help_text="What it waits for while its replicas start."
    )
    by = serializers.CharField(source="by_label")
    rollout = serializers.SerializerMethodField(help_text="The rollout by which it goes live.")

    class Meta:
        model = Release
        exclude = ("model_name", "version_name", "previous_version_name", "by_label", "started_at")

    def get_previous_version(self, release: Release) -> str | None:
        return release.previous_version_name or None

    def get_rollout(self, release: Release) -> int | None:
        found: Rollout | None = getattr(release, "rollout", None)
        return None if found is None else found.pk

    def get_progress(self, release: Release) -> str:
        return what_it_waits_for(release)


class Releasing(Body):
    reason = Text(required=False, allow_blank=True, max_length=LONG_TEXT)
    allow_signature_change = Flag(required=False, help_text=SIGNATURE_HELP)


class Deploy(Releasing):
    anyway = Flag(required=False, help_text="Deploy a version that failed its check.")
    rollout = Text(
        required=False,
        help_text=f"The plan by which it goes live: {AT_ONCE} (the usual way), "
        f"{', '.join(PLANS)}, or one of your own.",
    )


class RolloutAct(Body):
    action = Text(help_text="pause, resume, promote, abort or approve.")
    digest = Text(
        required=False,
        help_text="The release as it is approved: `approvals.digest` of the rollout as read.",
    )
    bypass = Flag(
        required=False, help_text="Promote without the approvals wanted: superusers, with a reason."
    )
    reason = Text(
        required=False,
        allow_blank=True,
        max_length=LONG_TEXT,
        help_text="Why; promote and abort need one.",
    )


class RolloutOut(serializers.ModelSerializer[Rollout]):
    model = serializers.CharField(source="release.model_name")
    version = serializers.CharField(source="release.version_name")
    plan = serializers.CharField(source="plan_name")
    percent = serializers.FloatField()
    steps = serializers.JSONField(source="definition.steps")
    gates = serializers.JSONField(
        help_text="By application, each with its verdict: worse, no_worse or open."
    )
    waits = serializers.CharField(
        source="evidence.waits", default="", help_text="What the step waits for."
    )
    approvals = serializers.SerializerMethodField(
        help_text="How many are `wanted` for the next move, those `given`, and what they stand for."
    )
    shadow = serializers.CharField(
        source="evidence.shadow", default="", help_text="How far a shadow's answers agree."
    )
    failures = serializers.JSONField(
        source="evidence.failures", required=False, help_text="The first queries that it failed on."
    )
    evidence = serializers.JSONField(
        source="evidence.history", required=False, help_text="The evidence of each gate over time."
    )

    class Meta:
        model = Rollout
        fields = (
            *("id", "release", "model", "version", "plan", "state", "step", "percent", "steps"),
            *("paused", "reason", "waits", "gates", "overruled", "approvals", "bypassed_by"),
            *("shadow", "failures", "evidence"),
            *("created_at", "exposed_at", "step_at", "ended_at"),
        )

    def get_approvals(self, rollout: Rollout) -> dict[str, Any]:
        found = approvals_of(rollout)
        given = [{"by": one.by_label, "at": one.at.isoformat()} for one in found.given]
        return {"wanted": found.wanted, "given": given, "digest": found.digest}


class RollBack(Releasing):
    to = Text(required=False, help_text="Left out: the version that was live before.")
