"""The management API's bodies: what it answers, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from rest_framework import serializers

from registry.api.fields import (
    Body,
    Flag,
    FormNumberOrAuto,
    Number,
    NumberOrAuto,
    Object,
    Text,
    Whole,
)
from registry.models import (
    Application,
    Model,
    ModelVersion,
    Release,
    Route,
    ServiceLevelObjective,
)
from registry.models.applications import Combine, InputType, Loss, Priority
from registry.models.models import Batching
from registry.services import RouteRequest
from registry.waiting import what_it_waits_for

LONG_TEXT = 10_000


class ErrorBody(serializers.Serializer[Any]):
    """Every answer that isn't 2xx."""

    error = serializers.CharField(help_text="What is wrong and what was expected.")
    code = serializers.CharField(help_text="A stable name for the kind of error.")
    details = serializers.DictField()


# --- Applications ------------------------------------------------------------------------------


class ObjectiveOut(serializers.ModelSerializer[ServiceLevelObjective]):
    class Meta:
        model = ServiceLevelObjective
        fields = ("latency_ms", "target", "window")


class ObjectiveChange(Body):
    latency_ms = Number(required=False)
    target = Number(
        required=False, help_text="Share of queries to answer in time: 0.99 means 99 %."
    )
    window = Text(required=False)


class RouteOut(serializers.ModelSerializer[Route]):
    """`version` is the one it is pinned to; null where it follows the model's live version."""

    model = serializers.CharField(source="model.name")
    version = serializers.SerializerMethodField()
    live_version = serializers.SerializerMethodField()

    class Meta:
        model = Route
        fields = ("model", "version", "live_version", "role", "weight")

    def get_version(self, route: Route) -> str | None:
        return route.pinned_version.version if route.pinned_version else None

    def get_live_version(self, route: Route) -> str | None:
        return route.model.live_version.version if route.model.live_version else None


SIGNATURE_HELP = "Take a version that takes another number of numbers than the others."


class RouteIn(Body):
    model = Text()
    version = Text(required=False, allow_null=True, help_text="Left out: the live version.")
    role = Text(required=False)
    weight = Number(required=False)


def route_requests(bodies: list[Mapping[str, Any]]) -> list[RouteRequest]:
    return [RouteRequest(**body) for body in bodies]


class ApplicationOut(serializers.ModelSerializer[Application]):
    """`has_default_output` tells a default output that is null from none at all."""

    default_output = serializers.JSONField(source="default_value", allow_null=True)
    has_default_output = serializers.SerializerMethodField()
    policy_params = serializers.DictField()
    slo = ObjectiveOut()
    routes = RouteOut(many=True)

    class Meta:
        model = Application
        fields = (
            "name",
            "description",
            "input_type",
            "policy",
            "policy_params",
            "combine",
            "default_output",
            "has_default_output",
            "confidence_threshold",
            "public",
            "feedback_window_s",
            "keep_outputs_s",
            "cache",
            "cache_ttl_s",
            "priority",
            "loss",
            "loss_expression",
            "loss_scale",
            "missing_loss",
            "default_reward",
            "context_ttl_s",
            "max_contexts",
            "slo",
            "routes",
            "created_at",
            "updated_at",
        )

    def get_has_default_output(self, application: Application) -> bool:
        return application.default_output != ""


class ApplicationChange(Body):
    description = Text(required=False, allow_blank=True, max_length=LONG_TEXT)
    policy = Text(required=False)
    policy_params = Object(required=False, help_text="Numbers by name; each policy has its own.")
    combine = Text(
        required=False,
        help_text=f"One of {', '.join(Combine.values)}, or one that an installed package adds.",
    )
    default_output = serializers.JSONField(
        required=False, allow_null=True, help_text="Any JSON value, null included."
    )
    confidence_threshold = Number(required=False)
    public = Flag(required=False)
    feedback_window_s = Whole(required=False)
    keep_outputs_s = Whole(required=False)
    cache = Flag(required=False, help_text="Answer the same input from memory.")
    cache_ttl_s = Number(
        required=False, allow_null=True, help_text="How old a remembered answer may be; null: any."
    )
    priority = Text(required=False, help_text=f"One of {', '.join(Priority.values)}.")
    loss = Text(required=False, help_text=f"One of {', '.join(Loss.values)}.")
    loss_expression = Text(
        required=False, allow_blank=True, help_text="A formula over label and output."
    )
    loss_scale = Number(required=False, help_text="Errors are divided by it, and cut at 1.")
    missing_loss = Number(
        required=False,
        allow_null=True,
        help_text="Loss of a model that failed or was too late; null: not held against it.",
    )
    default_reward = Number(
        required=False,
        allow_null=True,
        help_text="What a prediction without feedback counts as; null: nothing.",
    )
    context_ttl_s = Whole(required=False, help_text="How long an unused context is kept.")
    max_contexts = Whole(required=False, help_text="How many contexts are kept.")


class ApplicationPatch(ApplicationChange):
    has_default_output = Flag(
        required=False, help_text="false removes the default output: such queries then fail."
    )

    def changes(self) -> dict[str, Any]:
        """The changes as services take them."""
        changes: dict[str, Any] = dict(self.validated_data)
        wanted = changes.pop("has_default_output", None)
        if wanted is False and "default_output" in changes:
            raise serializers.ValidationError(
                {"has_default_output": "Expected true together with default_output, got false."}
            )
        if wanted is False:
            changes["default_output"] = msgspec.UNSET
        return changes


class NewApplication(ApplicationChange):
    name = Text()
    input_type = Text(help_text=f"One of {', '.join(InputType.values)}.")
    slo_ms = Number(help_text="Every query is answered within this time.")
    routes = RouteIn(many=True, required=False)
    allow_signature_change = Flag(required=False, help_text=SIGNATURE_HELP)


# --- Models and versions -----------------------------------------------------------------------


class ModelOut(serializers.ModelSerializer[Model]):
    """`versions` are the names of its versions, newest first."""

    live_version = serializers.SerializerMethodField()
    versions = serializers.SerializerMethodField()

    class Meta:
        model = Model
        fields = ("name", "input_type", "description", "live_version", "versions", "created_at")

    def get_live_version(self, model: Model) -> str | None:
        return model.live_version.version if model.live_version else None

    def get_versions(self, model: Model) -> list[str]:
        return [version.version for version in model.versions.all()]


class ModelPatch(Body):
    description = Text(required=False, allow_blank=True, max_length=LONG_TEXT)


class NewModel(ModelPatch):
    name = Text()
    input_type = Text(help_text=f"One of {', '.join(InputType.values)}.")


class VersionOut(serializers.ModelSerializer[ModelVersion]):
    """`warm_until`: its replicas are kept until then, so that a rollback to it is immediate."""

    model = serializers.CharField(source="model.name")
    batch_wait_ms = NumberOrAuto()
    live = serializers.BooleanField(source="is_live")
    created_by = serializers.SerializerMethodField()

    class Meta:
        model = ModelVersion
        fields = (
            "model",
            "version",
            "runtime",
            "device",
            "replicas",
            "min_replicas",
            "max_replicas",
            "batching",
            "max_batch_size",
            "batch_wait_ms",
            "memory_limit_mb",
            "threads",
            "load_timeout_s",
            "allow_pickle",
            "notes",
            "digest",
            "size",
            "live",
            "warm_until",
            "validated_at",
            "n_features",
            "load_error",
            "created_at",
            "created_by",
        )

    def get_created_by(self, version: ModelVersion) -> str | None:
        return version.created_by.get_username() if version.created_by else None


BATCHING_HELP = f"One of {', '.join(Batching.values)}."
BATCH_SIZE_HELP = "The largest batch; for static, the size of every batch."
BATCH_WAIT_HELP = "How long to wait for a fuller batch: 0 sends at once, auto learns what pays."
MOST_REPLICAS_HELP = "Turns autoscaling on; null: off."


class VersionPatch(Body):
    """What may change while a version serves. null clears a bound or a limit."""

    batching = Text(required=False, help_text=BATCHING_HELP)
    max_batch_size = Whole(required=False, allow_null=True, help_text=BATCH_SIZE_HELP)
    batch_wait_ms = NumberOrAuto(required=False, allow_null=True, help_text=BATCH_WAIT_HELP)
    replicas = Whole(required=False)
    min_replicas = Whole(required=False, allow_null=True)
    max_replicas = Whole(required=False, allow_null=True, help_text=MOST_REPLICAS_HELP)
    memory_limit_mb = Whole(
        required=False, allow_null=True, help_text="Holds for replicas started from then on."
    )
    threads = Whole(required=False, help_text="Holds for replicas started from then on.")
    load_timeout_s = Whole(required=False, help_text="Holds for replicas started from then on.")
    notes = Text(required=False, allow_blank=True, max_length=LONG_TEXT)


class NewVersion(Body):
    """A multipart form, where every value is text; an empty number is one not given."""

    version = Text()
    runtime = Text(help_text="sklearn, python, or one that an installed package adds.")
    artifact = serializers.FileField(max_length=255)
    device = Text(required=False, help_text=f"One of {', '.join(ModelVersion.Device.values)}.")
    batching = Text(required=False, help_text=BATCHING_HELP)
    max_batch_size = serializers.IntegerField(
        required=False, allow_null=True, help_text=BATCH_SIZE_HELP
    )
    batch_wait_ms = FormNumberOrAuto(required=False, allow_null=True, help_text=BATCH_WAIT_HELP)
    replicas = serializers.IntegerField(required=False)
    min_replicas = serializers.IntegerField(required=False, allow_null=True)
    max_replicas = serializers.IntegerField(
        required=False, allow_null=True, help_text=MOST_REPLICAS_HELP
    )
    memory_limit_mb = serializers.IntegerField(required=False, allow_null=True)
    threads = serializers.IntegerField(required=False)
    load_timeout_s = serializers.IntegerField(required=False)
    allow_pickle = serializers.BooleanField(
        required=False, help_text="Needs the permission to run code."
    )
    notes = Text(required=False, allow_blank=True, max_length=LONG_TEXT)


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

    class Meta:
        model = Release
        fields = (
            "id",
            "model",
            "version",
            "previous_version",
            "kind",
            "state",
            "progress",
            "reason",
            "allow_signature_change",
            "error",
            "output",
            "by",
            "created_at",
            "live_at",
            "ended_at",
        )

    def get_previous_version(self, release: Release) -> str | None:
        return release.previous_version_name or None

    def get_progress(self, release: Release) -> str:
        return what_it_waits_for(release)


class Deploy(Body):
    reason = Text(required=False, allow_blank=True, max_length=LONG_TEXT)
    allow_signature_change = Flag(required=False, help_text=SIGNATURE_HELP)


class RollBack(Body):
    to = Text(required=False, help_text="Left out: the version that was live before.")
    reason = Text(required=False, allow_blank=True, max_length=LONG_TEXT)
    allow_signature_change = Flag(required=False, help_text=SIGNATURE_HELP)
