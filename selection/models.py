"""Feedback as it is kept for good: one row for each piece that was counted."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from selection.contexts import MAX_CHARACTERS
from selection.feedback import events


class Feedback(models.Model):
    """A label or a reward for one prediction, with what every asked arm had answered."""

    class Kind(models.TextChoices):
        RECEIPT = events.RECEIPT, "on a query"
        INPUT = events.INPUT, "a labelled input"

    application = models.ForeignKey(
        "registry.Application", on_delete=models.CASCADE, related_name="feedback"
    )
    context = models.CharField(max_length=MAX_CHARACTERS, blank=True)
    nonce = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    issued_at = models.DateTimeField(help_text="When the prediction was made.")
    received_at = models.DateTimeField()
    label = models.TextField(blank=True, help_text="JSON text; empty where a reward was given.")
    reward = models.FloatField(null=True, blank=True)
    arms = models.JSONField(help_text='[{"arm", "propensity", "output", "loss"}, ...]')
    forced = models.BooleanField(
        default=False, help_text="The caller chose the version: the weights were not moved."
    )

    class Meta:
        ordering = ("-received_at", "-id")
        verbose_name_plural = "feedback"
        indexes = (
            models.Index(fields=("application", "-received_at"), name="feedback_by_application"),
            models.Index(
                fields=("application", "context", "-received_at"), name="feedback_by_context"
            ),
        )
        constraints = (
            models.CheckConstraint(
                name="feedback_kind_known", condition=Q(kind__in=(events.RECEIPT, events.INPUT))
            ),
            models.CheckConstraint(
                name="feedback_reward_in_unit_interval",
                condition=Q(reward__isnull=True) | Q(reward__gte=0.0, reward__lte=1.0),
            ),
            models.CheckConstraint(
                name="feedback_label_or_reward",
                condition=Q(label="", reward__isnull=False) | (~Q(label="") & Q(reward=None)),
            ),
        )

    def __str__(self) -> str:
        told = self.label[:40] if self.label else f"reward {self.reward:g}"
        return f"{self.application}: {told}"
