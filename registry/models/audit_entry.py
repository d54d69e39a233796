"""The audit trail."""

from __future__ import annotations

from django.db import models


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    def of(self, row: models.Model) -> AuditEntryQuerySet:
        """The entries about one row."""
        return self.filter(kind=str(row._meta.verbose_name), object_id=row.pk)


class AuditEntry(models.Model):
    """One change or event, append-only, without foreign keys: what it is about may be deleted."""

    class Channel(models.TextChoices):
        REST = "rest", "REST"
        CONSOLE = "console", "console"
        COMMAND = "command", "command"
        SYSTEM = "system", "system"

    class Action(models.TextChoices):
        CREATE = "create", "create"
        CHANGE = "change", "change"
        DELETE = "delete", "delete"
        DEPLOY = "deploy", "deploy"
        ROLL_BACK = "roll_back", "roll back"
        REVOKE = "revoke", "revoke"
        RESET = "reset", "reset"
        # What Clipper does by itself, or finds.
        GO_LIVE = "go_live", "went live"
        FAIL = "fail", "failed"
        SCALE = "scale", "scaled"
        CRASH = "crash", "crashed"
        FIRE = "fire", "fired"
        RESOLVE = "resolve", "resolved"
        PRUNE = "prune", "pruned"

    at = models.DateTimeField(auto_now_add=True)
    by = models.CharField(max_length=150)
    user_id = models.BigIntegerField(null=True)
    key_prefix = models.CharField(max_length=16, blank=True)
    channel = models.CharField(max_length=16, choices=Channel.choices)
    address = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=16, choices=Action.choices)
    kind = models.CharField(max_length=32)
    object_id = models.BigIntegerField(null=True)
    name = models.CharField(max_length=200)
    # Whose it is, for keys that are bound to applications.
    application_id = models.BigIntegerField(null=True)
    model_id = models.BigIntegerField(null=True)
    revision = models.PositiveBigIntegerField(null=True)
    changes = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    # The entry that this one completes: a release's end has its beginning.
    cause_id = models.BigIntegerField(null=True)
    # The same, again within a minute; all that the database lets grow, for the system alone.
    repeats = models.PositiveIntegerField(null=True)

    objects = AuditEntryQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        verbose_name_plural = "audit entries"
        indexes = (
            models.Index(name="audit_of_object", fields=("kind", "object_id", "-id")),
            models.Index(name="audit_at", fields=("-at",)),
            models.Index(name="audit_of_application", fields=("application_id", "-id")),
            models.Index(name="audit_of_model", fields=("model_id", "-id")),
            models.Index(name="audit_of_cause", fields=("cause_id",)),
        )

    def __str__(self) -> str:
        return f"{self.get_action_display()} {self.kind} {self.name}"
