"""Captured queries, a row each, with the label that a person gave."""

import zlib
from datetime import datetime

import msgspec
from django.db import models
from msgspec import Raw

from registry.models.fast_json import FastJSONField
from selection.context_names import MAX_CHARACTERS


class CapturedBody(msgspec.Struct, frozen=True, kw_only=True):
    """A captured query's JSON; `output` is null if it ended in an error."""

    input: Raw
    output: Raw = Raw(b"null")
    # By version; of those that gave none, why.
    outputs: dict[str, Raw] = {}
    missing: dict[str, str] = {}

    def packed(self) -> bytes:
        # Segments compress them again, and better.
        return zlib.compress(msgspec.json.encode(self), 1)


class CapturedSegment(models.Model):
    """A file of captured rows' bodies among the artifacts: compressed JSON Lines."""

    # In `rows`, before the file has its rows, and when it is to be removed.
    WRITING, GONE = 0, -1

    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the file.")
    size = models.PositiveIntegerField(help_text="Bytes of the file.")
    rows = models.IntegerField(default=WRITING, help_text="Its lines, each of which has a row.")
    written_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.digest


class CapturedInput(models.Model):
    """A sampled query: its input and answers, for a person to look at."""

    application = models.ForeignKey(
        "registry.Application", on_delete=models.CASCADE, related_name="captured"
    )
    uid = models.CharField(max_length=48, unique=True, help_text="Its place in the stream.")
    at = models.DateTimeField(help_text="When it was answered.")
    query_id = models.TextField(blank=True, help_text="The receipt; empty if it had no answer.")
    nonce = models.CharField(max_length=64, blank=True, help_text="The query, as feedback has it.")
    context = models.CharField(max_length=MAX_CHARACTERS, blank=True)
    chance = models.FloatField(help_text="The chance with which it was captured.")
    confidence = models.FloatField()
    cause = models.CharField(max_length=40, blank=True, help_text="Why no model's answer was given")
    latency_ms = models.FloatField()
    disagreed = models.BooleanField(help_text="Versions gave unlike answers.")
    late = models.BooleanField(help_text="A version gave no answer in time.")
    failed = models.BooleanField(help_text="A version failed, or refused the input.")
    answer = models.TextField(blank=True, help_text="JSON of the answer, if it is short.")
    body = models.BinaryField(
        help_text="A `CapturedBody` as JSON, compressed; empty if the segment has it."
    )
    segment = models.ForeignKey(
        CapturedSegment, on_delete=models.PROTECT, null=True, related_name="captured"
    )
    size = models.PositiveIntegerField(help_text="Bytes that the row takes, about.")
    label = models.TextField(blank=True, help_text="JSON of the label that a person gave.")
    reviewed_by = models.CharField(max_length=150, blank=True)
    reviewed_at = models.DateTimeField(null=True, blank=True)
    key = models.CharField(max_length=MAX_CHARACTERS, blank=True, default="", db_default="")
    set_name = models.CharField(
        "set", max_length=63, blank=True, default="", db_default="", help_text="It keeps the row."
    )

    class Meta:
        ordering = ("-at", "-id")
        indexes = (models.Index(fields=("application", "-at"), name="captured_by_application"),)

    def __str__(self) -> str:
        return f"{self.application}, {self.at:%Y-%m-%d %H:%M:%S}"


class TrafficReplay(models.Model):
    """Captured queries that a version is asked again, and what came of them so far."""

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        RUNNING = "running", "running"
        DONE = "done", "done"
        CANCELLED = "cancelled", "cancelled"
        FAILED = "failed", "failed"

    OPEN = (State.QUEUED, State.RUNNING)

    application = models.ForeignKey(
        "registry.Application", on_delete=models.CASCADE, related_name="replays"
    )
    version = models.ForeignKey(
        "registry.ModelVersion", on_delete=models.CASCADE, related_name="replays"
    )
    since = models.DateTimeField(null=True)
    until = models.DateTimeField(null=True)
    set_name = models.CharField("set", max_length=63, blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    error = models.TextField(blank=True)
    by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    moved_at = models.DateTimeField(auto_now_add=True, help_text="When it went on last.")
    ended_at = models.DateTimeField(null=True)
    # The rows from `position`, which is done, to `last_row`.
    position = models.BigIntegerField(default=0)
    last_row = models.BigIntegerField()
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    sums = FastJSONField(default=dict, help_text="`ReplaySums` of the rows that are done.")

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"replay {self.pk} of {self.version}"

    @property
    def rows(self) -> models.QuerySet[CapturedInput]:
        """Return the rows that are still to be asked, in order."""
        rows = chosen_rows(
            self.application_id, since=self.since, until=self.until, set_name=self.set_name
        )
        return rows.filter(pk__gt=self.position, pk__lte=self.last_row).order_by("pk")


def chosen_rows(
    application_id: int,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    set_name: str = "",
) -> models.QuerySet[CapturedInput]:
    """Return an application's captured queries of a time, and of a set if one is named."""
    chosen = {"at__gte": since, "at__lt": until, "set_name": set_name or None}
    given = {name: value for name, value in chosen.items() if value is not None}
    return CapturedInput.objects.filter(application=application_id, **given)
