"""Models and their versions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from core.names import validate_name, validate_version_not_reserved
from registry.models.named import NamedQuerySet
from registry.models.settable_columns import (
    InputType,
    between,
    validate_finite,
    validate_python,
    validate_requirements,
)
from registry.versions.package_requirements import MOST_CHARACTERS

if TYPE_CHECKING:
    from django_stubs_ext.db.models.manager import RelatedManager

MOST_REPLICAS = 256
# Without a min_replicas of its own, autoscaling keeps this many.
FEWEST_REPLICAS = 1
LARGEST_BATCH = 4096


def bounds_of(*, fewest: int | None, most: int | None) -> tuple[int, int] | None:
    """Return the bounds of autoscaling, None if it is off."""
    if most is None:
        return None
    return FEWEST_REPLICAS if fewest is None else fewest, most


class Batching(models.TextChoices):
    """Ways to find the size of batches, by the names of the engine's controllers."""

    AIMD = "aimd", "aimd: grows while answers come in time, backs off when they don't"
    QUANTILE_REGRESSION = (
        "quantile_regression",
        "quantile_regression: fits how long a batch takes to its size",
    )
    STATIC = "static", "static: always the largest batch"
    NONE = "none", "none: one query at a time"


class ModelQuerySet(NamedQuerySet["Model"]):
    def with_live_version(self) -> ModelQuerySet:
        return self.select_related("live_version")

    def with_versions(self) -> ModelQuerySet:
        return self.select_related("live_version").prefetch_related("versions")


class VersionQuerySet(NamedQuerySet["ModelVersion"]):
    name_field = "version"


class Model(models.Model):
    """A named function from inputs to outputs; its versions are what really runs."""

    class ApprovedStep(models.TextChoices):
        CANARY = "canary", "before the first queries"
        PROMOTION = "promotion", "before everybody gets it"
        BOTH = "both", "before both"

    name = models.CharField(max_length=63, unique=True, validators=[validate_name])
    description = models.TextField(blank=True)
    approvals = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        validators=between(0, 10),
        help_text="People who have to approve a rollout, besides who asks for it. 0: nobody.",
    )
    approved_step = models.CharField(
        "approvals are wanted",
        max_length=16,
        choices=ApprovedStep.choices,
        default=ApprovedStep.PROMOTION,
        db_default=ApprovedStep.PROMOTION.value,
    )
    input_type = models.CharField(max_length=16, choices=InputType.choices)
    live_version = models.ForeignKey(
        "registry.ModelVersion",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        help_text="The version that routes without a pin follow.",
    )
    previous_version = models.ForeignKey(
        "registry.ModelVersion",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        help_text="The version that was live before.",
    )
    # What the open rollout has web processes do (`ModelSpec`).
    rollout_id = models.PositiveBigIntegerField(null=True, editable=False)
    canary_version = models.ForeignKey(
        "registry.ModelVersion",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    canary_share = models.FloatField(default=0.0, db_default=0.0, editable=False)
    canary_hedged = models.BooleanField(default=False, db_default=False, editable=False)
    shadow_share = models.FloatField(default=0.0, db_default=0.0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    revision = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="One more with each change that somebody makes."
    )

    objects = ModelQuerySet.as_manager()

    if TYPE_CHECKING:
        versions: RelatedManager[ModelVersion]

    class Meta:
        ordering = ("name",)
        permissions = (
            ("roll_back_model", "Can roll back to an earlier version"),
            ("approve_model", "Can approve rollouts of others"),
        )

    def __str__(self) -> str:
        return self.name


class ModelVersion(models.Model):
    """One immutable artifact and how to run it; `max_replicas` turns autoscaling on."""

    class Device(models.TextChoices):
        CPU = "cpu", "CPU"
        GPU = "gpu", "GPU"

        @classmethod
        def named(cls, text: str) -> str:
            """Return `gpu` for PyTorch's names of one, `cuda` and `cuda:0`; others as they are."""
            return str(cls.GPU) if re.fullmatch(r"cuda(:\d+)?", text) else text

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="versions")
    version = models.CharField(
        max_length=63, validators=[validate_name, validate_version_not_reserved]
    )
    runtime = models.CharField(max_length=32)
    digest = models.CharField("artifact sha256", max_length=64, editable=False)
    size = models.PositiveBigIntegerField("artifact bytes", default=0, editable=False)
    device = models.CharField(max_length=8, choices=Device.choices, default=Device.CPU)
    replicas = models.PositiveSmallIntegerField(
        default=1,
        validators=between(0, MOST_REPLICAS),
        help_text="Processes that answer side by side.",
    )
    min_replicas = models.PositiveSmallIntegerField(
        "fewest replicas",
        null=True,
        blank=True,
        validators=between(FEWEST_REPLICAS, MOST_REPLICAS),
        help_text=f"How far autoscaling goes down. Empty: {FEWEST_REPLICAS}.",
    )
    max_replicas = models.PositiveSmallIntegerField(
        "most replicas",
        null=True,
        blank=True,
        validators=between(FEWEST_REPLICAS, MOST_REPLICAS),
        help_text="How far autoscaling goes up when queries have to wait. Empty: it is off.",
    )
    batching = models.CharField(
        "batch size",
        max_length=32,
        choices=Batching.choices,
        default=Batching.AIMD,
        help_text="How Clipper finds the number of queries that go to a replica together.",
    )
    max_batch_size = models.PositiveIntegerField(
        "largest batch",
        null=True,
        blank=True,
        validators=between(1, LARGEST_BATCH),
        help_text=f"In queries; with static, of every batch. Empty: {LARGEST_BATCH}.",
    )
    batch_wait_ms = models.FloatField(
        "wait for a fuller batch (ms)",
        null=True,
        blank=True,
        validators=[validate_finite, *between(0.0, 1000.0)],
        help_text="0 sends at once. Empty: Clipper learns whether waiting pays.",
    )
    memory_limit_mb = models.PositiveIntegerField(
        "memory limit (MB)",
        null=True,
        blank=True,
        # Below 128 a Python process with numpy in it doesn't come up.
        validators=between(128, 1 << 20),
        help_text="Most memory of the model in each replica's process. Empty: no limit.",
    )
    threads = models.PositiveSmallIntegerField(
        default=1,
        validators=between(1, 256),
        help_text="For linear algebra (BLAS, OpenMP), in each replica.",
    )
    load_timeout_s = models.PositiveIntegerField(
        "time to load (s)",
        default=120,
        validators=between(1, 3600),
        help_text="How long a replica, or the check before a release, may take until it answers.",
    )
    cost = models.FloatField(
        default=0.0,
        validators=[validate_finite, *between(0.0, 1e6)],
        help_text="Cost of one query, in a unit of yours: applications may set a price on it.",
    )
    method = models.CharField(
        max_length=63,
        blank=True,
        help_text="The method that is asked, such as predict_proba. Empty: predict.",
    )
    requirements = models.TextField(
        blank=True,
        max_length=MOST_CHARACTERS,
        validators=[validate_requirements],
        help_text="Packages that it needs, as the lines of a requirements.txt. "
        "Empty: what the stack has.",
    )
    python = models.CharField(
        "version of Python",
        max_length=16,
        blank=True,
        validators=[validate_python],
        help_text="That it needs, such as 3.13. Empty: the stack's.",
    )
    example = models.TextField(
        blank=True,
        help_text="An input as JSON. Each check has the version answer it. Empty: none.",
    )
    signature = models.TextField(
        blank=True,
        help_text="The shape of its inputs, as JSON. Empty: what the check finds out.",
    )
    allow_stale_libraries = models.BooleanField(
        default=False,
        help_text="Take a model that was trained with another release of its library.",
    )
    remote = models.JSONField(
        "remote model",
        null=True,
        blank=True,
        editable=False,
        help_text="Where it lives and how it is asked. Empty: it is loaded from its artifact.",
    )
    secret = models.TextField(
        blank=True, editable=False, help_text="What a remote model is asked with, sealed."
    )
    allow_pickle = models.BooleanField(
        default=False,
        help_text="Load joblib or pickle, which can run any code. Only for artifacts you trust.",
    )
    notes = models.TextField(blank=True)
    generation = models.PositiveIntegerField(default=0, editable=False)
    warm_until = models.DateTimeField(null=True, blank=True, editable=False)
    validated_at = models.DateTimeField(null=True, blank=True, editable=False)
    n_features = models.PositiveIntegerField(
        "numbers in an input",
        null=True,
        blank=True,
        editable=False,
        help_text="As its check found. Empty: not known, or any number.",
    )
    load_error = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    revision = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="One more with each change that somebody makes."
    )

    objects = VersionQuerySet.as_manager()

    class Meta:
        ordering = ("model", "-created_at", "-id")
        permissions = (
            ("run_code", "Can have replicas run code that an artifact brings"),
            ("scale_modelversion", "Can set how many replicas run"),
        )
        constraints = (
            models.UniqueConstraint(name="version_once_per_model", fields=("model", "version")),
            models.CheckConstraint(
                name="version_replica_bounds_in_range",
                condition=(
                    Q(min_replicas__isnull=True)
                    | Q(
                        min_replicas__gte=FEWEST_REPLICAS,
                        max_replicas__isnull=False,
                        min_replicas__lte=F("max_replicas"),
                    )
                )
                & (
                    Q(max_replicas__isnull=True)
                    | Q(max_replicas__gte=FEWEST_REPLICAS, max_replicas__lte=MOST_REPLICAS)
                ),
            ),
            models.CheckConstraint(
                name="version_replicas_within_bounds",
                condition=Q(max_replicas__isnull=True)
                | Q(
                    replicas__gte=Coalesce(F("min_replicas"), FEWEST_REPLICAS),
                    replicas__lte=F("max_replicas"),
                ),
            ),
            models.CheckConstraint(
                name="version_static_batch_has_size",
                condition=~Q(batching=Batching.STATIC) | Q(max_batch_size__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.model.name}:{self.version}"

    def clean(self) -> None:
        if self.batching == Batching.STATIC and self.max_batch_size is None:
            raise ValidationError(
                {
                    "max_batch_size": f"Expected 1 to {LARGEST_BATCH} with static batching, "
                    "whose size it is, got none."
                }
            )
        bounds = self.replica_bounds
        if bounds is None:
            if self.min_replicas is not None:
                raise ValidationError(
                    {
                        "min_replicas": "Expected none without max_replicas, which turns "
                        f"autoscaling on, got {self.min_replicas}."
                    }
                )
            return
        low, high = bounds
        if self.min_replicas is not None and low > high:
            raise ValidationError(
                {"min_replicas": f"Expected at most max_replicas, {high}, got {low}."}
            )
        if low <= high and not low <= self.replicas <= high:
            raise ValidationError(
                {
                    "replicas": f"Expected {low} to {high}, the bounds of this version's "
                    f"autoscaling, got {self.replicas}."
                }
            )

    @property
    def replica_bounds(self) -> tuple[int, int] | None:
        """Return the bounds of autoscaling, None if it is off."""
        return bounds_of(fewest=self.min_replicas, most=self.max_replicas)

    @property
    def replicas_text(self) -> str:
        """Return the number of replicas, with the bounds of autoscaling."""
        bounds = self.replica_bounds
        return str(self.replicas) + (f" ({bounds[0]} to {bounds[1]})" if bounds else "")

    @property
    def is_live(self) -> bool:
        return self.model.live_version_id == self.pk

    @property
    def is_warm(self) -> bool:
        """Say whether its replicas are still kept for a rollback."""
        return self.warm_until is not None and self.warm_until > timezone.now()
