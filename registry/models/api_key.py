"""API keys: stored hashed, scoped, optionally bound to applications."""

import hashlib
import secrets

from django.conf import settings
from django.db import models
from django.utils import timezone

from core.specs import FEEDBACK, JOIN, MANAGE, PREDICT, READ
from registry.models.application import Application

PREFIX_LENGTH = 12


def scopes_of(predict: bool, feedback: bool, read: bool, manage: bool) -> frozenset[str]:
    """Return what a key with these flags may do."""
    granted = {PREDICT: predict, FEEDBACK: feedback, READ: read, MANAGE: manage}
    return frozenset(scope for scope, yes in granted.items() if yes)


class ApiKey(models.Model):
    """A client's key, of which only the sha256 is kept: 256 random bits need no slow digest."""

    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=PREFIX_LENGTH, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    can_predict = models.BooleanField(default=True)
    can_feedback = models.BooleanField(default=True)
    can_read = models.BooleanField(default=False)
    can_manage = models.BooleanField(default=False)
    can_run_code = models.BooleanField(
        default=False,
        help_text="May upload and first deploy versions that run code of their own.",
    )
    # Of a join token, which has no flags: so many hosts may still join by it.
    joins = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    # A flag of its own: were an empty list to mean "every application", deleting the last
    # application of a bound key would open all the others to it.
    bound = models.BooleanField(
        "bound to applications", default=False, help_text="Only for the applications below."
    )
    applications = models.ManyToManyField(Application, blank=True, related_name="keys")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )

    class Meta:
        ordering = ("-id",)
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @staticmethod
    def generate() -> str:
        """Return a new key's text; it is shown once and never stored."""
        return "clp_" + secrets.token_urlsafe(32)

    @staticmethod
    def digest_of(key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()

    @property
    def scopes(self) -> frozenset[str]:
        granted = scopes_of(self.can_predict, self.can_feedback, self.can_read, self.can_manage)
        return granted if self.joins is None else granted | {JOIN}

    @property
    def bound_to(self) -> frozenset[int] | None:
        """The applications that it is bound to, None for all."""
        return frozenset(self.applications.values_list("pk", flat=True)) if self.bound else None

    @property
    def state(self) -> str:
        """Return "active", or why it works no more."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= timezone.now():
            return "expired"
        return "used" if self.joins == 0 else "active"

    @property
    def is_active(self) -> bool:
        return self.state == "active"
