"""Routes: which models an application asks."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from core.specs import ARM_ROLE
from registry.models.application import Application
from registry.models.models import ModelVersion


class RouteQuerySet(models.QuerySet["Route"]):
    def with_versions(self) -> RouteQuerySet:
        return self.select_related("model__live_version__model", "pinned_version__model")


class Route(models.Model):
    """Makes a model an arm of an application: its live version, or one pinned version."""

    class Role(models.TextChoices):
        ARM = ARM_ROLE, "arm"

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="routes")
    model = models.ForeignKey("registry.Model", on_delete=models.PROTECT, related_name="routes")
    pinned_version = models.ForeignKey(
        "registry.ModelVersion",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="pinning_routes",
        help_text="Empty: follow the model's live version.",
    )
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.ARM)
    weight = models.FloatField(
        default=1.0,
        validators=[MinValueValidator(0.0)],
        help_text="Share of traffic under the static policy.",
    )

    objects = RouteQuerySet.as_manager()

    class Meta:
        ordering = ("application", "id")
        constraints = (
            models.UniqueConstraint(
                name="route_once_per_model",
                fields=("application", "model"),
                condition=Q(pinned_version__isnull=True),
                violation_error_message="Expected each model once without a version.",
            ),
            models.UniqueConstraint(
                name="route_once_per_pinned_version",
                fields=("application", "pinned_version"),
                condition=Q(pinned_version__isnull=False),
                violation_error_message="Expected each version of a model once.",
            ),
            models.CheckConstraint(name="route_weight_not_negative", condition=Q(weight__gte=0.0)),
        )

    def __str__(self) -> str:
        pinned = f":{self.pinned_version.version}" if self.pinned_version else ""
        return f"{self.application} → {self.model}{pinned}"

    @property
    def served(self) -> ModelVersion | None:
        """Return the version that it asks, None if its model has none live."""
        return self.pinned_version or self.model.live_version

    def clean(self) -> None:
        if not (self.application_id and self.model_id):
            return
        if self.pinned_version and self.pinned_version.model_id != self.model_id:
            raise ValidationError(
                {
                    "pinned_version": f"Expected a version of {self.model}, "
                    f"got {self.pinned_version}."
                }
            )
        if self.application.input_type != self.model.input_type:
            raise ValidationError(
                {
                    "model": f"{self.application} takes {self.application.input_type}, "
                    f"but {self.model} takes {self.model.input_type}."
                }
            )
