"""The policy that chooses one by what queries bring, so that nobody has to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from core.errors import BadRequest
from selection.policies.arithmetic.features import Features
from selection.policies.arithmetic.sums import StatisticKind, Statistics, Vector
from selection.policies.policy import INHERIT, Observation, Policy, Prepared, parameter
from selection.policies.rules.adaptive_ucb import AdaptiveUCB
from selection.policies.rules.rand_linucb import RandLinUCB


@dataclass(frozen=True, slots=True, kw_only=True)
class Auto(Policy):
    """`rand_linucb` for queries with features, `adaptive_ucb` without any.

    The last is at least nearly the best of all policies whatever the number of arms, the delay and
    the share of labels (docs/results/learning.md).
    """

    name: ClassVar[str] = "auto"
    summary: ClassVar[str] = "chooses by what queries bring, and says why; no need to set anything"
    dimensions: int = parameter(
        0, 0, 1024, "how many features come with each query; 0: none", whole=True
    )
    inherit: float = parameter(0.5, *INHERIT)
    chosen: Policy = field(init=False)

    def __post_init__(self) -> None:
        # As a frozen dataclass has it of what it works out for itself.
        object.__setattr__(self, "chosen", self._chosen())

    def _chosen(self) -> Policy:
        if self.dimensions == 0:
            return AdaptiveUCB(inherit=self.inherit)
        return RandLinUCB(dimensions=self.dimensions, inherit=self.inherit)

    @property
    def statistic(self) -> StatisticKind:
        return self.chosen.statistic

    @property
    def statistics(self) -> tuple[StatisticKind, ...]:
        return self.chosen.statistics

    @property
    def keep(self) -> float:
        return self.chosen.keep

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        return self.chosen.prepare(statistics, arms)

    def observe(self, seen: Observation) -> dict[str, Vector]:
        return self.chosen.observe(seen)

    def encode(self, features: Features) -> tuple[float, ...]:
        if features and not self.dimensions:
            # Not refused in the name of a policy that nobody has chosen.
            raise BadRequest(
                f"features: policy {self.name!r} takes none while its parameter dimensions is 0: "
                "expected that to say how many there are."
            )
        return self.chosen.encode(features)

    def reason(self, statistics: Statistics) -> str:
        why = (
            f"queries carry {self.dimensions} features"
            if self.dimensions
            else "queries carry no features"
        )
        text = self.chosen.reason(statistics)
        return f"{self.chosen.name}, because {why}. {text}".rstrip()
