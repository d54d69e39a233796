"""The traffic's history as it is kept, and the readings of processes that it grew from."""

from collections.abc import Mapping

from django.db import models

from registry.models.fast_json import FastJSONField
from serving.traffic.outcome_counts import COLUMNS, OUTCOMES, OutcomeCounts, add_row, sparse


class TrafficRow(models.Model):
    """Outcomes of an application's queries in a step of time."""

    application = models.ForeignKey(
        "registry.Application", on_delete=models.CASCADE, related_name="traffic"
    )
    at = models.DateTimeField(help_text="Where the step begins.")
    step_s = models.PositiveIntegerField()
    good = models.PositiveBigIntegerField(default=0, help_text="In time, abstentions included.")
    late = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    refused = models.PositiveBigIntegerField(default=0)
    no_replica = models.PositiveBigIntegerField(default=0)
    abstained = models.PositiveBigIntegerField(default=0)
    invalid = models.PositiveBigIntegerField(default=0)
    gaps = models.PositiveBigIntegerField(
        default=0, help_text="Processes that were killed, with up to a second of their counts."
    )
    latency = FastJSONField(default=list, help_text="[bucket, number, ...] of answers.")
    defaults = FastJSONField(default=list, help_text="The same of defaults that are bad.")
    versions = FastJSONField(
        default=dict, help_text="{arm: [outcomes, calls, latency]}, each a list"
    )

    class Meta:
        ordering = ("at", "step_s")
        constraints = (
            models.UniqueConstraint(
                fields=("application", "step_s", "at"), name="traffic_row_of_a_step"
            ),
        )
        # With all that an objective sums up: 28 days of 30 applications take 50 ms, not 140.
        indexes = (models.Index(fields=("application", "at", *OUTCOMES), name="traffic_outcomes"),)

    def __str__(self) -> str:
        return f"{self.application}: {self.step_s} s from {self.at:%Y-%m-%d %H:%M:%S}"

    def counts(self, total: dict[str, OutcomeCounts] | None = None) -> dict[str, OutcomeCounts]:
        """Add its counts to a total, by version, and as "" of the application; return that."""
        columns = [getattr(self, name) for name in COLUMNS]
        return add_row({} if total is None else total, columns)

    def set_counts(self, total: Mapping[str, OutcomeCounts]) -> None:
        for name, number in total[""].by_outcome().items():
            setattr(self, name, number)
        self.latency, self.defaults = sparse(total[""].latency), sparse(total[""].defaults)
        self.versions = {
            arm: [[*counts.by_outcome().values()], counts.calls, sparse(counts.latency)]
            for arm, counts in total.items()
            if arm
        }


class TrafficReading(models.Model):
    """The counts of an application in one process that are in the history so far."""

    application = models.ForeignKey("registry.Application", on_delete=models.CASCADE)
    process = models.CharField(max_length=64)
    number = models.PositiveBigIntegerField(help_text="The publication that they are from.")
    counts = models.JSONField(help_text="Lists of serving.metrics.outcomes, by arm; its own as ''.")
    grew_at = models.DateTimeField()

    class Meta:
        ordering = ("process", "application")
        constraints = (
            models.UniqueConstraint(
                fields=("process", "application"), name="traffic_reading_of_a_process"
            ),
        )

    def __str__(self) -> str:
        return f"{self.application} in {self.process}"
