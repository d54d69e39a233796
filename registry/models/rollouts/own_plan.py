"""Plans of rollouts that people made, beside those that come with Clipper."""

from __future__ import annotations

from django.db import models

from core.names import validate_name
from registry.models.named import NamedQuerySet


class OwnPlanQuerySet(NamedQuerySet["OwnPlan"]):
    """Finds plans by their names."""


class OwnPlan(models.Model):
    """A plan by its name; rollouts keep a copy, so a change touches none that has begun."""

    name = models.CharField(max_length=63, unique=True, validators=[validate_name])
    definition = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OwnPlanQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        verbose_name = "rollout plan"

    def __str__(self) -> str:
        return self.name
