"""Rollouts: releases that go live step by step, on evidence."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q, QuerySet

from registry.models.models import Model
from registry.models.release import Release
from registry.models.rollouts.rollout_plans import RolloutPlan, plan_of

# The beginning of a reason that may pass by itself.
PASSING = "held: "


class RolloutQuerySet(models.QuerySet["Rollout"]):
    def open(self) -> RolloutQuerySet:
        return self.filter(state__in=self.model.OPEN)

    def wanting_somebody(self) -> RolloutQuerySet:
        """Those that are held and won't go on by themselves, as soon as queries or labels come."""
        return self.filter(state=self.model.State.HELD).exclude(reason__startswith=PASSING)

    def with_release(self) -> QuerySet[Rollout]:
        return self.select_related(
            "model__live_version", "release__version__model", "release__previous_version__model"
        )


class Rollout(models.Model):
    """How one release goes live: its plan, the step it is at, and what its gates have found."""

    class State(models.TextChoices):
        PLANNED = "planned", "planned"
        SHADOW = "shadow", "shadow"
        CANARY = "canary", "canary"
        HELD = "held", "held"
        PROMOTED = "promoted", "promoted"
        ROLLED_BACK = "rolled_back", "rolled back"
        ABORTED = "aborted", "aborted"

    OPEN = (State.PLANNED, State.SHADOW, State.CANARY, State.HELD)
    ENDED = (State.PROMOTED, State.ROLLED_BACK, State.ABORTED)

    release = models.OneToOneField(Release, on_delete=models.CASCADE, related_name="rollout")
    # None once the model is deleted.
    model = models.ForeignKey(Model, on_delete=models.SET_NULL, null=True, related_name="rollouts")
    plan_name = models.CharField("plan", max_length=63)
    definition = models.JSONField(help_text="The plan as it was when the rollout began.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.PLANNED)
    step = models.PositiveSmallIntegerField(default=0)
    # Where a held rollout goes on.
    held_from = models.CharField(max_length=16, blank=True)
    # A person holds it: it goes on when a person says so.
    paused = models.BooleanField(default=False)
    reason = models.TextField(blank=True, help_text="Why it is held, or how it ended.")
    overruled = models.JSONField(
        default=list, help_text="The gates that somebody went on in spite of."
    )
    bypassed_by = models.CharField(
        max_length=150, blank=True, help_text="Who promoted it without the approvals wanted."
    )
    evidence = models.JSONField(default=dict, help_text="What the gates have found so far.")
    created_at = models.DateTimeField(auto_now_add=True)
    began_at = models.DateTimeField(null=True, help_text="When the first query met the version.")
    exposed_at = models.DateTimeField(null=True, help_text="When the first canary step began.")
    step_at = models.DateTimeField(null=True, help_text="When the step began.")
    ended_at = models.DateTimeField(null=True)

    objects = RolloutQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                name="one_open_rollout_per_model",
                fields=("model",),
                condition=Q(state__in=("planned", "shadow", "canary", "held")),
            ),
        )

    def __str__(self) -> str:
        return f"rollout of {self.release.arm}"

    @property
    def plan(self) -> RolloutPlan:
        return plan_of(self.definition)

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def stage(self) -> str:
        """Return its state, of a held rollout the one in which it is held."""
        return self.held_from if self.state == self.State.HELD else self.state

    @property
    def percent(self) -> float:
        """Return how many percent of the live version's queries the new version answers."""
        if self.state == self.State.PROMOTED:
            return 100.0
        return self.plan.steps[self.step].percent if self.stage == self.State.CANARY else 0.0

    @property
    def gates(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.evidence.get("gates", [])
        return found
