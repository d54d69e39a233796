"""What a run of the paper's figures works with."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.figures import experiment
from benchmarks.paper.models import Zoo


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(experiment.Session):
    """With the artifacts of the models that figures ask."""

    zoo: Zoo
