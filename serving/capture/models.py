"""Captured queries, a row each, with the label that a person gave."""

import zlib

import msgspec
from django.db import models
from msgspec import Raw

from selection.context_names import MAX_CHARACTERS


class CapturedBody(msgspec.Struct, frozen=True, kw_only=True):
    """A captured query's JSON; `output` is null if it ended in an error."""

    input: Raw
    output: Raw = Raw(b"null")
    # By version; of those that gave none, why.
    outputs: dict[str, Raw] = {}
    missing: dict[str, str] = {}

    def packed(self) -> bytes:
        return zlib.compress(msgspec.json.encode(self))


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
    body = models.BinaryField(help_text="A `CapturedBody` as JSON, compressed.")
    size = models.PositiveIntegerField(help_text="Bytes that the row takes, about.")
    label = models.TextField(blank=True, help_text="JSON of the label that a person gave.")
    reviewed_by = models.CharField(max_length=150, blank=True)
    reviewed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-at", "-id")
        indexes = (models.Index(fields=("application", "-at"), name="captured_by_application"),)

    def __str__(self) -> str:
        return f"{self.application}, {self.at:%Y-%m-%d %H:%M:%S}"

    def read(self) -> CapturedBody:
        """Return what the row holds."""
        return msgspec.json.decode(zlib.decompress(self.body), type=CapturedBody)
