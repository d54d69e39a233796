"""The check of a version: it is loaded and asked in a process that is thrown away."""

from typing import Any

from django.db import models
from django.db.models import Q

from registry.models.models import ModelVersion

# What a version is held to in its check; it may be changed, unlike its artifact and environment.
LIMITS = ("memory_limit_mb", "threads", "load_timeout_s")


class VersionCheck(models.Model):
    """The last check of a version, the first of which begins when it is uploaded."""

    class State(models.TextChoices):
        PENDING = "pending", "pending"
        PASSED = "passed", "passed"
        FAILED = "failed", "failed"

    version = models.OneToOneField(
        ModelVersion, on_delete=models.CASCADE, related_name="last_check", editable=False
    )
    state = models.CharField(
        max_length=16, choices=State.choices, default=State.PENDING, editable=False
    )
    error = models.TextField(
        blank=True, editable=False, help_text="Why the version can't be served."
    )
    output = models.TextField(
        blank=True, editable=False, help_text="What its model wrote meanwhile."
    )
    report = models.JSONField(
        default=dict,
        blank=True,
        editable=False,
        help_text="What its model made of sample inputs, and how quickly.",
    )
    limits = models.JSONField(default=dict, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="null while it is under way."
    )

    class Meta:
        indexes = (
            models.Index(fields=("state",), name="check_pending", condition=Q(state="pending")),
        )

    def __str__(self) -> str:
        return f"check of {self.version}"

    @property
    def is_open(self) -> bool:
        return self.state == self.State.PENDING


def limits_of(version: ModelVersion) -> dict[str, Any]:
    """Return the limits that a check of the version would have now."""
    return {name: getattr(version, name) for name in LIMITS}
