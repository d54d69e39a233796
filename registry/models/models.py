"""Models and their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from registry.models.applications import InputType
from registry.names import validate_name
from registry.querysets import ModelQuerySet, ModelVersionQuerySet

if TYPE_CHECKING:
    from django_stubs_ext.db.models.manager import RelatedManager

    from registry.models.releases import Release

MOST_REPLICAS = 256


class Model(models.Model):
    """A named function from inputs to outputs; its versions are what really runs."""

    name = models.CharField(max_length=63, unique=True, validators=[validate_name])
    description = models.TextField(blank=True)
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
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ModelQuerySet.as_manager()

    if TYPE_CHECKING:
        versions: RelatedManager[ModelVersion]
        releases: RelatedManager[Release]

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                name="model_input_type_known", condition=Q(input_type__in=InputType.values)
            ),
        )

    def __str__(self) -> str:
        return self.name


class ModelVersion(models.Model):
    """One immutable artifact of a model and how to run it."""

    class Device(models.TextChoices):
        CPU = "cpu", "CPU"
        GPU = "gpu", "GPU"

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="versions")
    version = models.CharField(max_length=63, validators=[validate_name])
    runtime = models.CharField(max_length=32)
    digest = models.CharField("artifact sha256", max_length=64, editable=False)
    size = models.PositiveBigIntegerField("artifact bytes", default=0, editable=False)
    device = models.CharField(max_length=8, choices=Device.choices, default=Device.CPU)
    replicas = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(0), MaxValueValidator(MOST_REPLICAS)]
    )
    allow_pickle = models.BooleanField(
        default=False,
        help_text="Load joblib or pickle, which can run any code. Only for artifacts you trust.",
    )
    notes = models.TextField(blank=True)
    generation = models.PositiveIntegerField(default=0, editable=False)
    warm_until = models.DateTimeField(null=True, blank=True, editable=False)
    validated_at = models.DateTimeField(null=True, blank=True, editable=False)
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

    objects = ModelVersionQuerySet.as_manager()

    if TYPE_CHECKING:
        releases: RelatedManager[Release]

    class Meta:
        ordering = ("model", "-created_at", "-id")
        permissions = (("allow_pickle", "Can allow a version to load pickle"),)
        constraints = (
            models.UniqueConstraint(name="version_once_per_model", fields=("model", "version")),
            models.CheckConstraint(
                name="version_replicas_bounded", condition=Q(replicas__lte=MOST_REPLICAS)
            ),
        )

    def __str__(self) -> str:
        return f"{self.model.name}:{self.version}"

    @property
    def is_live(self) -> bool:
        return self.model.live_version_id == self.pk

    @property
    def is_warm(self) -> bool:
        """Whether its replicas are still kept after it was replaced, ready for a rollback."""
        return self.warm_until is not None and self.warm_until > timezone.now()
