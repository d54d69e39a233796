"""The audit trail."""

from __future__ import annotations

from collections.abc import Collection

from django.db import models
from django.db.models import Q
from django.db.models.functions import Cast

# What entries are about, by their action or the kind of what they name; any other is `settings`.
TOPICS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "release": (frozenset({"deploy", "roll_back", "go_live", "fail", "roll_out"}), frozenset()),
    "check": (frozenset({"check"}), frozenset()),
    "scaling": (frozenset({"scale", "move"}), frozenset()),
    "crash": (frozenset({"crash"}), frozenset()),
    "alert": (frozenset({"fire", "resolve"}), frozenset({"alert", "channel", "alert channel"})),
    "learning": (frozenset({"reset"}), frozenset()),
    "access": (frozenset({"revoke", "refuse"}), frozenset({"user", "group", "API key"})),
}
SETTINGS = "settings"


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    def of(self, row: models.Model) -> AuditEntryQuerySet:
        """The entries about one row."""
        return self.filter(kind=str(row._meta.verbose_name), object_id=row.pk)

    def about(self, kind: str) -> AuditEntryQuerySet:
        """The entries on a topic, or about one kind of rows."""
        if kind in TOPICS:
            return self.filter(_on(kind))
        if kind == SETTINGS:
            return self.exclude(_on_any())
        return self.filter(kind=kind)

    def touching(
        self, *, applications: Collection[int], models: Collection[int]
    ) -> AuditEntryQuerySet:
        """The entries about these applications, or about these models with their versions."""
        return self.filter(Q(application_id__in=applications) | Q(model_id__in=models))

    def saying(self, text: str) -> AuditEntryQuerySet:
        """The entries with this text in a name, a value or a reason, or in what completes them."""
        rows = AuditEntry.objects.annotate(values=Cast("changes", models.TextField()))
        said = Q()
        for field in ("name", "by", "reason", "values", "address", "key_prefix"):
            said |= Q(**{f"{field}__icontains": text})
        found = rows.filter(said)
        ends = found.filter(cause_id__isnull=False).values("cause_id")
        return self.filter(Q(pk__in=found.values("pk")) | Q(pk__in=ends))


def _on(topic: str) -> Q:
    actions, kinds = TOPICS[topic]
    return Q(action__in=actions) | Q(kind__in=kinds)


def _on_any() -> Q:
    found = Q()
    for topic in TOPICS:
        found |= _on(topic)
    return found


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
        ROLL_OUT = "roll_out", "rollout"
        GO_LIVE = "go_live", "went live"
        FAIL = "fail", "failed"
        CHECK = "check", "checked"
        SCALE = "scale", "scaled"
        MOVE = "move", "moved"
        CRASH = "crash", "crashed"
        REFUSE = "refuse", "refused"
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

    @property
    def topic(self) -> str:
        """Return the first topic that it is on."""
        return next(
            (t for t, (acts, kinds) in TOPICS.items() if self.action in acts or self.kind in kinds),
            SETTINGS,
        )
