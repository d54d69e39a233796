"""Approvals of rollouts: who stood for which version, plan and gates."""

from django.conf import settings
from django.db import models

from registry.models.rollouts.rollout import Rollout


class Approval(models.Model):
    """One person's approval; it counts while the `digest` is that of the rollout, for a week."""

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="approvals")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    by_label = models.CharField(max_length=150)
    # All by which a person is known, so that a second account of theirs is noticed.
    identities = models.JSONField(default=list)
    digest = models.CharField(max_length=64)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(
                name="one_approval_per_person", fields=("rollout", "user", "digest")
            ),
        )

    def __str__(self) -> str:
        return f"approval of {self.rollout} by {self.by_label}"
