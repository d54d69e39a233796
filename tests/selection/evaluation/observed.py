"""An application of two arms that is observed every ten seconds, and rows of its feedback."""

from datetime import UTC, datetime, timedelta
from typing import Any

from registry import services
from selection.evaluation.monitoring.snapshots import ObservedApplication, take_snapshots
from selection.models import Feedback, SelectionSnapshot
from serving.testing import application_spec

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Observed:
    """An application as its snapshots are taken."""

    def __init__(self, name: str = "digits", **spec: Any) -> None:
        self.application = services.create_application(
            name=name, input_type="doubles", slo_ms=50, by=services.SYSTEM
        )
        self.now, self.spec = NOON, spec
        self.weights = {"svm:1": 0.5, "forest:1": 0.5}
        # What its web processes have counted.
        self.counted: dict[str, Any] = {"readings": {}}

    def observe(self) -> ObservedApplication:
        self.now += timedelta(seconds=10)
        spec = application_spec(id=self.application.pk, **self.spec)
        arms = [
            {"model": arm.partition(":")[0], "version": arm.partition(":")[2], "weight": weight}
            | {"probability": 1.0 / len(self.weights), "queries": 0, "feedback": 0}
            | {"reward": None, "reward_interval": None}
            for arm, weight in self.weights.items()
        ]
        state = {"policy": spec.policy, "arms": arms, "recommendation": None}
        return ObservedApplication(
            application=spec, state=state, weights=self.weights, **self.counted
        )

    def take(self) -> SelectionSnapshot | None:
        return next(iter(take_snapshots([self.observe()], now=self.now)), None)

    def label(self, losses: dict[str, float], *, times: int = 1, **changes: Any) -> None:
        """Let feedback come five seconds later, on queries that asked these arms."""
        number = Feedback.objects.count()
        arms = [
            {"arm": arm, "propensity": 1 / len(self.weights) if len(losses) == 1 else 1}
            | {"output": f"{7 + loss:g}", "loss": loss}
            for arm, loss in losses.items()
        ]
        fields = {
            "application": self.application,
            "kind": "receipt",
            "issued_at": self.now,
            "received_at": self.now + timedelta(seconds=5),
            "label": "7",
            "routed": list(self.weights),
            "arms": arms,
        }
        Feedback.objects.bulk_create(
            Feedback(**{"nonce": f"n{number + n}", **fields, **changes}) for n in range(times)
        )
