"""Releases: the history of live versions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet, Subquery

from core.errors import NotFound
from registry.models.models import Model, ModelVersion


class ReleaseQuerySet(models.QuerySet["Release"]):
    def open(self) -> ReleaseQuerySet:
        return self.filter(state__in=self.model.OPEN)

    def live(self) -> ReleaseQuerySet:
        return self.filter(state=self.model.State.LIVE)

    def last_live_of(self, versions: Iterable[ModelVersion]) -> ReleaseQuerySet:
        """Return the last release of each version that went live."""
        lived = self.filter(version__in=versions, live_at__isnull=False)
        last = lived.order_by().values("version").annotate(last=Max("pk"))
        return self.filter(pk__in=last.values("last"))

    def with_versions(self) -> ReleaseQuerySet:
        return self.select_related(
            "model", "version__model", "previous_version__model", "by", "rollout"
        )


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

    # The names stay when what they name is deleted: this is the only history there is.
    model = models.ForeignKey(
        Model, on_delete=models.SET_NULL, null=True, blank=True, related_name="releases"
    )
    model_name = models.CharField(max_length=63, blank=True, editable=False)
    version = models.ForeignKey(
        ModelVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="releases"
    )
    version_name = models.CharField(max_length=63, blank=True, editable=False)
    previous_version = models.ForeignKey(
        ModelVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    previous_version_name = models.CharField(max_length=63, blank=True, editable=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    reason = models.TextField(blank=True)
    allow_signature_change = models.BooleanField(
        default=False,
        help_text="Its version may take or give something else than what it replaces.",
    )
    error = models.TextField(blank=True)
    did_well = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="Its version answered 1,000 queries, or for a day, and kept every objective.",
    )
    progress = models.TextField(
        blank=True, editable=False, help_text="What it waits for while its replicas start."
    )
    output = models.TextField(
        blank=True, editable=False, help_text="What its model wrote while it was tried out."
    )
    report = models.JSONField(
        default=dict,
        blank=True,
        editable=False,
        help_text="What its model made of sample inputs in its check, and how quickly.",
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
        return f"{self.kind} of {self.arm}"

    def save(self, **kwargs: Any) -> None:
        if self._state.adding and self.version is not None:
            self.model_name, self.version_name = self.version.model.name, self.version.version
        if self._state.adding and self.previous_version is not None:
            self.previous_version_name = self.previous_version.version
        super().save(**kwargs)

    @property
    def arm(self) -> str:
        """Return its version's name, which it keeps."""
        return f"{self.model_name}:{self.version_name}"

    @property
    def previous_arm(self) -> str:
        """Return the name of the version that was live before, "" for none."""
        return f"{self.model_name}:{self.previous_version_name}" * bool(self.previous_version_name)

    @property
    def target(self) -> ModelVersion:
        """Return the version of an open release, which can't be deleted."""
        if self.version is None:
            raise NotFound(f"{self.arm} was deleted.")
        return self.version

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN


def wanted(
    versions: QuerySet[ModelVersion], *, now: datetime, warm: bool = True
) -> QuerySet[ModelVersion]:
    """Return those that should have replicas: live, pinned, starting or warm."""
    pinned = ModelVersion.objects.filter(pinning_routes__isnull=False).values("pk")
    starting = Release.objects.filter(state=Release.State.STARTING).values("version")
    return versions.filter(
        Q(model__live_version_id=F("pk"))
        | (Q(warm_until__gt=now) if warm else Q())
        | Q(pk__in=pinned)
        | Q(pk__in=starting)
    ).select_related("model")


def earlier(versions: QuerySet[ModelVersion]) -> QuerySet[ModelVersion]:
    """Return versions to go back to: those that did well first, then the latest.

    After all others come those that a rollback left.
    """
    lived = Release.objects.filter(version=OuterRef("pk"), live_at__isnull=False)
    last = lived.order_by("-live_at", "-pk")[:1]
    left = Release.objects.filter(
        previous_version=OuterRef("pk"),
        pk__gt=OuterRef("last_release"),
        kind=Release.Kind.ROLLBACK,
        live_at__isnull=False,
    )
    return (
        versions.exclude(model__live_version_id=F("pk"))
        .annotate(
            last_live_at=Subquery(last.values("live_at")),
            last_release=Subquery(last.values("pk")),
        )
        .filter(last_release__isnull=False)
        .annotate(rolled_back=Exists(left), did_well=Exists(lived.filter(did_well=True)))
        .order_by("rolled_back", "-did_well", "-last_live_at", "-last_release")
        .select_related("model", "created_by")
    )


def superfluous(model: Model, *, kept: int, now: datetime) -> QuerySet[ModelVersion]:
    """Return the versions that nothing asks or leads back to, but the `kept` newest.

    A rollback leads to the first of `earlier`; two more of those stay, and three that did well.
    """
    versions = model.versions.all()
    well = versions.filter(releases__did_well=True).exclude(pk=model.live_version_id or 0)
    stay = {model.previous_version_id or 0, model.canary_version_id or 0}
    for rows in (
        versions.order_by("-created_at", "-pk")[:kept],
        well.annotate(last=Max("releases__live_at")).order_by("-last")[:3],
        earlier(versions)[:3],
        wanted(versions, now=now),
        versions.filter(releases__in=Release.objects.open()),
    ):
        stay |= {version.pk for version in rows}
    return versions.exclude(pk__in=stay).select_related("model")
