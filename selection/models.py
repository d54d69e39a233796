"""Feedback as it is kept for good, a row for each piece, and what selection was like over time."""

from django.db import models
from django.db.models import Q

from registry.models.fast_json import FastJSONField
from selection import kinds
from selection.context_names import MAX_CHARACTERS


class Feedback(models.Model):
    """A label or a reward for one prediction, with what every asked arm had answered."""

    class Kind(models.TextChoices):
        RECEIPT = kinds.RECEIPT, "on a query"
        INPUT = kinds.INPUT, "a labelled input"
        DEFAULT = kinds.DEFAULT, "nobody said anything"

    application = models.ForeignKey(
        "registry.Application", on_delete=models.CASCADE, related_name="feedback"
    )
    context = models.CharField(max_length=MAX_CHARACTERS, blank=True)
    key = models.CharField(
        max_length=MAX_CHARACTERS,
        blank=True,
        default="",
        help_text="Whom the query was to keep with one version.",
    )
    nonce = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    issued_at = models.DateTimeField(help_text="When the prediction was made.")
    received_at = models.DateTimeField()
    label = models.TextField(blank=True, help_text="JSON text; empty where a reward was given.")
    reward = models.FloatField(null=True, blank=True)
    arms = models.JSONField(help_text='[{"arm", "propensity", "output", "loss"}, ...]')
    routed = models.JSONField(default=list, blank=True, help_text="Arms that took part.")
    features = models.JSONField(default=list, blank=True, help_text="Features of the query.")
    metrics = models.JSONField(
        default=dict, blank=True, help_text="Numbers that tell of the answer beside its reward."
    )
    overlap = models.FloatField(
        default=0.0,
        db_default=0.0,
        help_text="What it counts beside feedback of other times: 1 / the sum of 1 / the chance of "
        "each arm to be asked; 0 if no arm was drawn.",
    )
    answer = models.JSONField(
        null=True,
        blank=True,
        help_text="Of the combined answer, by each way to weigh arms: [margins, rewards, slots].",
    )
    position = models.BigIntegerField(
        default=0, help_text="Grows with the order in which feedback was counted."
    )
    gone = models.JSONField(
        default=list, blank=True, help_text="Contexts that were forgotten to make room for its own."
    )
    forced = models.BooleanField(
        default=False,
        help_text="The caller chose the version, or the key is held out: "
        "the weights were not moved.",
    )
    held_out = models.BooleanField(
        default=False,
        db_default=False,
        help_text="The routes' weights chose the version, not the policy.",
    )
    defaulted = models.BooleanField(
        default=False, db_default=False, help_text="The default output was given."
    )

    class Meta:
        ordering = ("-received_at", "-id")
        verbose_name_plural = "feedback"
        indexes = (
            models.Index(fields=("application", "-received_at"), name="feedback_by_application"),
            models.Index(
                fields=("application", "context", "-received_at"), name="feedback_by_context"
            ),
            models.Index(fields=("application", "position"), name="feedback_in_order"),
        )
        constraints = (
            models.CheckConstraint(
                name="feedback_kind_known",
                condition=Q(kind__in=(kinds.RECEIPT, kinds.INPUT, kinds.DEFAULT)),
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
        text = self.label[:40] if self.label else f"reward {self.reward:g}"
        return f"{self.application}: {text}"


class StateReset(models.Model):
    """A reset of what was learned, in its place in the order of feedback, for replays too."""

    application = models.ForeignKey(
        "registry.Application", on_delete=models.CASCADE, related_name="resets"
    )
    everywhere = models.BooleanField(default=False)
    context = models.CharField(
        max_length=MAX_CHARACTERS, blank=True, help_text="Empty: the global one."
    )
    position = models.BigIntegerField(help_text="Its place in the order of feedback.")
    at = models.DateTimeField()
    by = models.CharField(max_length=200, help_text="Who asked for it.")

    class Meta:
        ordering = ("-position",)
        constraints = (
            models.UniqueConstraint(
                fields=("application", "position"), name="state_reset_counted_once"
            ),
        )

    def __str__(self) -> str:
        what = "everything" if self.everywhere else self.context or "the global context"
        return f"{self.application}: {what} reset"


class StateCheckpoint(models.Model):
    """The state of a context after feedback that is no longer in the table."""

    application = models.ForeignKey(
        "registry.Application", on_delete=models.CASCADE, related_name="checkpoints"
    )
    context = models.CharField(
        max_length=MAX_CHARACTERS, blank=True, help_text="Empty: the global one."
    )
    learned = models.BinaryField(help_text="msgpack: sums, feedback by arm, when and where.")

    class Meta:
        ordering = ("application", "context")
        constraints = (
            models.UniqueConstraint(
                fields=("application", "context"), name="state_checkpoint_of_context"
            ),
        )

    def __str__(self) -> str:
        return f"{self.application}: {self.context or 'the global context'} before its feedback"


class SelectionSnapshot(models.Model):
    """An application's selection in the global context, and the events since the last one."""

    application = models.ForeignKey(
        "registry.Application", on_delete=models.CASCADE, related_name="selection_snapshots"
    )
    since = models.DateTimeField()
    at = models.DateTimeField()
    step_s = models.PositiveSmallIntegerField(help_text="How far apart such snapshots are.")
    policy = models.CharField(max_length=32)
    arms = FastJSONField(help_text='{arm: {"weight", "probability", "reward", ...}}, at the end')
    counts = FastJSONField(help_text="{arm: [asked, answered, late, failed]}, within")
    earned = FastJSONField(help_text="[number, sum of rewards], within")
    rewards = FastJSONField(help_text="{arm: [number, sum of rewards]}, within")
    recommendation = FastJSONField(
        null=True, blank=True, help_text="Of the global context, at the end."
    )
    readings = FastJSONField(
        default=dict, blank=True, help_text="What web processes had counted at the end."
    )
    last_feedback = models.BigIntegerField(
        default=0, help_text="The last row of feedback that is in it, or in one before."
    )

    class Meta:
        ordering = ("at", "id")
        indexes = (
            models.Index(fields=("application", "at"), name="snapshot_by_application"),
            models.Index(fields=("application", "step_s", "at"), name="snapshot_to_merge"),
        )

    def __str__(self) -> str:
        return f"{self.application} at {self.at:%Y-%m-%d %H:%M:%S}"


class ExperimentHealth(models.Model):
    """The health of an application's experiment, kept by `selection.evaluation.health`."""

    application = models.OneToOneField(
        "registry.Application", on_delete=models.CASCADE, related_name="health"
    )
    experiment = models.CharField(max_length=64, help_text="Another one: the checks began anew.")
    since = models.DateTimeField(help_text="When this experiment began.")
    at = models.DateTimeField(help_text="When it was looked at last.")
    findings = models.JSONField(
        default=dict, help_text='{check: {"state", "value", "reason", "since"}}'
    )
    guardrails = models.JSONField(
        default=list, help_text='[{"metric", "arm", "number", "mean", "low", "high"}, ...]'
    )
    sums = models.JSONField(default=dict, help_text="What the checks remember.")
    readings = models.JSONField(
        default=dict, blank=True, help_text="What web processes had counted then."
    )
    holdout = models.JSONField(
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        blank=True,
        help_text="Sums by person: [{side: sums}, {pair: sums}, table]",
    )

    class Meta:
        verbose_name_plural = "experiments' health"

    def __str__(self) -> str:
        return f"{self.application} at {self.at:%Y-%m-%d %H:%M:%S}"
