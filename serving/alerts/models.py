"""Alerts, the channels that are told of them, and the messages sent there."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models
from django.db.models import Q


class AlertQuerySet(models.QuerySet["Alert"]):
    def open(self) -> AlertQuerySet:
        return self.exclude(state=Alert.State.RESOLVED)

    def firing(self) -> AlertQuerySet:
        return self.filter(state=Alert.State.FIRING)


class Alert(models.Model):
    """One time that a rule held: of an application, or of the whole stack without one."""

    class State(models.TextChoices):
        PENDING = "pending", "pending"
        FIRING = "firing", "firing"
        RESOLVED = "resolved", "resolved"

    application = models.ForeignKey(
        "registry.Application", on_delete=models.CASCADE, null=True, related_name="alerts"
    )
    rule = models.CharField(max_length=32)
    subject = models.CharField(max_length=160, blank=True, help_text="Such as a version.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    sentence = models.TextField()
    links = models.JSONField(
        default=dict, help_text='What to act on: {"model", "version", "release"}'
    )
    suspect = models.JSONField(
        default=dict, help_text='The newest change before it: {"text", "at", "model", "entry"}'
    )
    since = models.DateTimeField()
    fired_at = models.DateTimeField(null=True)
    cleared_at = models.DateTimeField(null=True, help_text="Since then its rule holds no more.")
    resolved_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField()
    muted_until = models.DateTimeField(null=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view", "change")
        indexes = (models.Index(fields=("state", "-id"), name="alert_by_state"),)
        constraints = (
            models.UniqueConstraint(
                fields=("application", "rule", "subject"),
                condition=~Q(state="resolved"),
                name="alert_open_once",
            ),
        )

    def __str__(self) -> str:
        return ": ".join(filter(None, (str(self.application or ""), self.rule, self.subject)))

    @property
    def key(self) -> tuple[int | None, str, str]:
        return self.application_id, self.rule, self.subject

    def is_muted(self, now: datetime) -> bool:
        return self.muted_until is not None and self.muted_until > now


class Channel(models.Model):
    """Where messages go. Its target may hold a secret: people are shown `shown`."""

    class Kind(models.TextChoices):
        MAIL = "mail", "mail"
        CHAT = "chat", "chat webhook"
        WEBHOOK = "webhook", "signed webhook"

    name = models.CharField(max_length=63, unique=True)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    target = models.TextField(editable=False, help_text="Sealed: addresses, or a URL.")
    shown = models.CharField(max_length=300, editable=False)
    secret = models.TextField(blank=True, editable=False, help_text="Sealed.")
    enabled = models.BooleanField(default=True)
    problem = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


def new_uid() -> str:
    return f"msg_{uuid.uuid4().hex}"


class Message(models.Model):
    """One message to one channel, kept until it has been sent."""

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        SENT = "sent", "sent"
        FAILED = "failed", "failed"

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="messages")
    uid = models.CharField(max_length=40, unique=True, default=new_uid)
    events = models.JSONField(default=list)
    is_test = models.BooleanField(default=False)
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    error = models.TextField(blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        default_permissions = ()
        indexes = (models.Index(fields=("state", "due_at"), name="message_due"),)

    def __str__(self) -> str:
        return f"{self.uid} to {self.channel}"
