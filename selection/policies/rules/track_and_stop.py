"""Track and stop: find the best version, say so, and send it nearly everything."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from selection.inference import ALPHA
from selection.policies.arithmetic.sums import EVIDENCE, StatisticKind, Statistics, Vector, evidence
from selection.policies.best_arm_proof import PROOF, judge
from selection.policies.newcomers import NEWCOMERS, limit_newcomers, new_among
from selection.policies.policy import (
    FLOOR,
    Observation,
    Policy,
    Prepared,
    Proof,
    add_floor,
    normalise,
    parameter,
)
from selection.policies.rules.thompson import LEAST_CHANCE, likely_best


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackAndStop(Policy):
    """Best-arm identification at a fixed confidence: sample, stop, and reopen if an arm changes.

    It samples by top-two Thompson sampling (Russo 2016) with exact chances, and stops by the
    generalised likelihood ratio of Garivier and Kaufmann (2016). Nothing fades.
    """

    name: ClassVar[str] = "track_and_stop"
    summary: ClassVar[str] = "finds the best version, proves it, and then asks that one"
    delta: float = parameter(ALPHA, 1e-6, 0.5, "chance that it settles on a wrong version")
    epsilon: float = parameter(0.0, 0.0, 0.5, "by how much another one may be better all the same")
    floor: float = parameter(0.02, *FLOOR)
    newcomers: float = parameter(*NEWCOMERS)
    decay: float = 0.0
    inherit: float = 0.0

    @property
    def statistic(self) -> StatisticKind:
        return EVIDENCE

    @property
    def statistics(self) -> tuple[StatisticKind, ...]:
        return PROOF

    @property
    def proof(self) -> Proof:
        return Proof(self.delta, self.epsilon)

    def observe(self, seen: Observation) -> dict[str, Vector]:
        return evidence(seen.losses)

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        best, confidence = judge(statistics, margin=self.epsilon)
        if confidence >= 1.0 - self.delta:
            settled = dict.fromkeys(statistics, LEAST_CHANCE) | {tuple(statistics)[best]: 1.0}
            return Prepared.draw_one(
                weights=normalise(settled), probabilities=add_floor(settled, floor=self.floor)
            )
        likely = likely_best(statistics)
        chances = limit_newcomers(
            top_two(likely), new=new_among(statistics), newcomers=self.newcomers
        )
        return Prepared.draw_one(weights=likely, probabilities=add_floor(chances, floor=self.floor))


def top_two(likely: Mapping[str, float]) -> dict[str, float]:
    """Return the chances of top-two sampling, given each arm's to be the best.

    The second is drawn until it is another one: i is asked with a chance of p_i (b + (1 - b) * sum
    over j != i of p_j / (1 - p_j)).
    """
    # 1 - p would lose the digits of what is left beside a p close to 1.
    others = {
        arm: 1.0 - chance
        if chance < 0.5
        else math.fsum(c for other, c in likely.items() if other != arm)
        for arm, chance in likely.items()
    }
    odds = {arm: likely[arm] / others[arm] if others[arm] > 0.0 else 0.0 for arm in likely}
    total = math.fsum(odds.values())
    # Russo's beta is a half: at most twice as slow as the best part.
    return normalise(
        {arm: chance * (0.5 + 0.5 * (total - odds[arm])) for arm, chance in likely.items()}
    )
