"""The history of what went live: who, when, why, what."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from registry.models.models import Model, ModelVersion
from registry.querysets import ReleaseQuerySet


class Release(models.Model):
    """One attempt to make a version live."""

    class Kind(models.TextChoices):
        DEPLOY = "deploy", "deploy"
        ROLLBACK = "rollback", "rollback"

    class State(models.TextChoices):
        PENDING = "pending", "pending"
        STARTING = "starting", "starting"
        LIVE = "live", "live"
        FAILED = "failed", "failed"
        SUPERSEDED = "superseded", "superseded"

    OPEN = (State.PENDING, State.STARTING)

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="releases")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="releases")
    previous_version = models.ForeignKey(
        ModelVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    kind = models.CharField(max_length=16, choices=Kind.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    reason = models.TextField(blank=True)
    error = models.TextField(blank=True)
    progress = models.TextField(
        blank=True, editable=False, help_text="What it waits for while its replicas start."
    )
    output = models.TextField(
        blank=True, editable=False, help_text="What its model wrote while it was tried out."
    )
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    by_label = models.CharField("by", max_length=150, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    live_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = ReleaseQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                name="release_one_open_per_model",
                fields=("model",),
                condition=Q(state__in=("pending", "starting")),
            ),
            models.UniqueConstraint(
                name="release_one_live_per_model", fields=("model",), condition=Q(state="live")
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} of {self.version}"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN
