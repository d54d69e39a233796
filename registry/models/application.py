"""Applications, and the objective each one declares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from core.decoding import decoded
from core.errors import BadRequest
from core.names import validate_name, validate_not_reserved
from registry.models.named import NamedQuerySet
from registry.models.settable_columns import InputType, between, validate_finite, validate_origins
from registry.versions.extensions import check_combine, check_policy, extensions

# What people may do, each role more than the one before.
ROLES = ("viewer", "operator", "approver", "deployer", "admin")
ANY_JSON = msgspec.json.Decoder(Any)

POLICY_HELP = (
    "Whom a query asks, and what feedback teaches: one model by fixed shares, one model by what "
    "it got right so far, or all of them, with their answers weighed by it."
)


class Combine(models.TextChoices):
    """Ways to combine that come with Clipper; installed packages may add more."""

    VOTE = "vote", "weighted vote over labels (classification)"
    SCORES = "scores", "weighted mean of class scores (classification)"
    MEAN = "mean", "weighted mean (regression)"
    MEDIAN = "median", "weighted median (regression)"


class Loss(models.TextChoices):
    AUTO = "auto", "auto: zero_one for classes, absolute for numbers"
    ZERO_ONE = "zero_one", "zero_one: right or wrong"
    ABSOLUTE = "absolute", "absolute: how far off a number is"
    SQUARED = "squared", "squared: the square of that"
    LOG = "log", "log: the chance that was given to the right class"
    EXPRESSION = "expression", "expression: a formula of your own"


class Priority(models.TextChoices):
    """The order of applications at a model with more queries than it can answer."""

    HIGH = "high", "high: before the others"
    NORMAL = "normal", "normal"
    LOW = "low", "low: after the others"


def validate_json_text(value: str) -> None:
    try:
        decoded(ANY_JSON, value.encode())
    except BadRequest as error:
        raise ValidationError(
            'Expected a JSON value such as -1, "unknown" or null, got %(value).40r. %(error)s',
            code="invalid_json",
            params={"value": value, "error": error.message},
        ) from error


class ApplicationQuerySet(NamedQuerySet["Application"]):
    def with_everything(self) -> ApplicationQuerySet:
        return self.select_related("slo").prefetch_related(
            "routes__model__live_version", "routes__pinned_version"
        )


class Application(models.Model):
    """One question that clients ask, and how Clipper finds its answer."""

    name = models.CharField(
        max_length=63, unique=True, validators=[validate_name, validate_not_reserved]
    )
    description = models.TextField(blank=True)
    input_type = models.CharField(max_length=16, choices=InputType.choices)
    policy = models.CharField(max_length=32, default="static", help_text=POLICY_HELP)
    policy_params = models.JSONField(default=dict, blank=True)
    combine = models.CharField(
        max_length=32,
        default=Combine.VOTE,
        help_text="How the answers of several models become one.",
    )
    default_output = models.TextField(
        blank=True,
        validators=[validate_json_text],
        help_text="JSON answered when no model answers in time. Empty: such a query fails instead.",
    )
    confidence_threshold = models.FloatField(
        default=0.0,
        validators=between(0.0, 1.0),
        help_text="Below this confidence the default output is given.",
    )
    max_wrong_share = models.FloatField(
        "most wrong answers",
        null=True,
        blank=True,
        validators=[validate_finite, *between(0.001, 0.999)],
        help_text="At most this share of answers is wrong, but for held-out keys and queries that "
        "name a version. Labels show from which confidence on; other queries get the default "
        "output, and all of them until it is proved. Empty: no promise.",
    )
    promise_confidence = models.FloatField(
        default=0.95,
        db_default=0.95,
        validators=[validate_finite, *between(0.5, 0.9999)],
        help_text="The probability with which that is kept.",
    )
    cascade_below = models.FloatField(
        "ask a dearer model below",
        null=True,
        blank=True,
        validators=[validate_finite, *between(0.0, 1.0)],
        help_text="Where the one model asked is less sure of its best class, or answers null, the "
        "dearest other one is asked as well. Empty: never.",
    )
    holdout_share = models.FloatField(
        default=0.0,
        db_default=0.0,
        validators=[validate_finite, *between(0.0, 0.5)],
        help_text="Share of keys, or of contexts without one, that are answered by the routes' "
        "weights whatever the policy does. The policy's gain is measured against them.",
    )
    public = models.BooleanField(default=False, help_text="Predict and feedback need no key.")
    allowed_origins = models.CharField(
        max_length=1000,
        blank=True,
        validators=[validate_origins],
        help_text="Origins of pages that may ask from a browser, such as https://shop.example with "
        "spaces between them, or * for all. Empty: none.",
    )
    feedback_window_s = models.PositiveIntegerField(
        "feedback window (s)",
        default=86_400,
        validators=[MinValueValidator(1)],
        help_text="How long after its prediction feedback is taken.",
    )
    keep_feedback_s = models.PositiveIntegerField(
        "keep feedback (s)",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="How long the table keeps feedback, at least as long as it is taken and an hour. "
        "The state learned from it stays. Empty: for good.",
    )
    keep_outputs_s = models.PositiveIntegerField(
        "keep outputs (s)",
        default=3600,
        help_text="How long feedback with a label finds outputs of over 256 bytes. 0: never.",
    )
    keep_inputs = models.BooleanField(
        default=False,
        help_text="A sample of inputs is kept for a day, with their answers: the check of a new "
        "version says how far it agrees with the live one on them.",
    )
    capture_rate = models.FloatField(
        "share of queries captured",
        default=0.0,
        db_default=0.0,
        validators=[validate_finite, *between(0.0, 1.0)],
        help_text="Share of queries whose input and answers are captured, for people to review "
        "and label. 0: none.",
    )
    capture_days = models.PositiveSmallIntegerField(
        "keep captured (days)",
        default=7,
        db_default=7,
        validators=between(1, 3650),
        help_text="How long they are kept.",
    )
    capture_bytes = models.PositiveBigIntegerField(
        "keep captured (bytes)",
        default=64 << 20,
        db_default=64 << 20,
        validators=between(1 << 16, 1 << 40),
        help_text="Beyond so many bytes, compressed, the oldest go.",
    )
    capture_redact = models.CharField(
        "columns not captured",
        max_length=1000,
        blank=True,
        default="",
        db_default="",
        help_text="Columns, with commas between them, whose values become null in captured inputs "
        "and answers before these leave the process. *: the whole input.",
    )
    cache = models.BooleanField(
        "cache answers",
        default=True,
        help_text="The same input is answered from memory, without asking the model again.",
    )
    cache_ttl_s = models.FloatField(
        "time to live (s)",
        null=True,
        blank=True,
        validators=[validate_finite, *between(0.001, 365 * 86_400.0)],
        help_text="How old a remembered answer may be. Empty: any age, while there is room.",
    )
    priority = models.CharField(
        max_length=8,
        choices=Priority.choices,
        default=Priority.NORMAL,
        help_text="Order of queries if a model has more than it can answer in time.",
    )
    loss = models.CharField(
        max_length=16,
        choices=Loss.choices,
        default=Loss.AUTO,
        help_text="How wrong an answer is, given the label.",
    )
    loss_expression = models.CharField(
        max_length=500,
        blank=True,
        help_text="For expression: a formula such as abs(label - output) / 10, cut to 0 to 1.",
    )
    loss_scale = models.FloatField(
        default=1.0,
        validators=[validate_finite, *between(1e-9, 1e12)],
        help_text="The error that is as wrong as it gets: errors are divided by it, at most 1.",
    )
    missing_loss = models.FloatField(
        "loss without an answer",
        null=True,
        blank=True,
        default=1.0,
        validators=[validate_finite, *between(0.0, 1.0)],
        help_text="Loss of a model that failed or was too late. Empty: it is not held against it.",
    )
    default_reward = models.FloatField(
        null=True,
        blank=True,
        validators=[validate_finite, *between(0.0, 1.0)],
        help_text="Reward of a prediction without feedback within the feedback window. "
        "Empty: as nothing.",
    )
    lateness_price = models.FloatField(
        "price of a second",
        default=0.0,
        validators=[validate_finite, *between(0.0, 1e6)],
        help_text="Price of a second: it is taken off the reward of a model.",
    )
    cost_price = models.FloatField(
        "price of cost",
        default=0.0,
        validators=[validate_finite, *between(0.0, 1e6)],
        help_text="Price of a unit of a version's cost: it is taken off the reward.",
    )
    context_ttl_s = models.PositiveIntegerField(
        "contexts kept (s)",
        default=90 * 86_400,
        validators=between(60, 10 * 365 * 86_400),
        help_text="How long what a context learned is kept after its last query or feedback.",
    )
    max_contexts = models.PositiveIntegerField(
        "most contexts",
        default=100_000,
        validators=between(1, 10_000_000),
        help_text="Beyond so many, the one that was unused for longest is forgotten.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    revision = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="One more with each change that somebody makes."
    )

    objects = ApplicationQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        permissions = (
            ("reset_application", "Can reset what was learned"),
            ("view_stack", "Can see what belongs to no application"),
            # Held on an application alone: registry.security.grants.
            *((f"role_{role}", f"Has the role {role} here") for role in ROLES),
        )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        checks: dict[str, Callable[[], object]] = {
            "policy_params": lambda: check_policy(self.policy, params=self.policy_params),
            "combine": lambda: check_combine(self.combine),
        }
        if self.loss in Loss.values:
            checks["loss_expression"] = lambda: extensions.loss_check(
                self.loss, self.loss_expression
            )
        errors = {}
        if self.max_wrong_share is not None:
            if not self.default_output:
                errors["max_wrong_share"] = (
                    "Expected a default output beside it, for queries that aren't sure enough; "
                    "there is none."
                )
            elif self.confidence_threshold:
                errors["max_wrong_share"] = (
                    "Expected no confidence_threshold beside it, as labels set that; "
                    f"got {self.confidence_threshold:g}."
                )
        for field, check in checks.items():
            try:
                check()
            except BadRequest as error:
                # The field is named beside it.
                message = error.message.removeprefix(f"{field}: ")
                errors[field] = message[:1].upper() + message[1:]
        if errors:
            raise ValidationError(errors)


class ServiceLevelObjective(models.Model):
    """The latency an application asks for, and the share of queries that must keep it."""

    class Window(models.TextChoices):
        HOUR = "1h", "1 hour"
        DAY = "1d", "1 day"
        WEEK = "7d", "7 days"
        MONTH = "28d", "28 days"

    application = models.OneToOneField(Application, on_delete=models.CASCADE, related_name="slo")
    latency_ms = models.FloatField(
        "latency (ms)",
        validators=between(1.0, 600_000.0),
        help_text="Every query is answered within this time, with the default output if need be.",
    )
    target = models.FloatField(
        default=0.99,
        validators=between(0.0, 1.0),
        help_text="Share of queries to be answered by a model in time, such as 0.99.",
    )
    window = models.CharField(max_length=4, choices=Window.choices, default=Window.MONTH)

    class Meta:
        verbose_name = "service level objective"

    def __str__(self) -> str:
        return f"{self.application}: {self.target:.2%} within {self.latency_ms:g} ms"
