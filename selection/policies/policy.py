"""Selection policies: the choice of arms, the trust in each, the lesson of feedback (§5).

A policy is pure: it holds its parameters, reads no clock and draws no random number. Sums and a
uniform number come in, sums to be added go out, from any number of processes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self

from core.errors import BadRequest
from selection.inference import ALPHA
from selection.policies.arithmetic.answer_sums import (
    ANSWERS,
    BY_ODDS,
    AnswerRecord,
    AnswerSeen,
    answer_sums,
)
from selection.policies.arithmetic.assignment import owner_of, routes_of
from selection.policies.arithmetic.features import Features
from selection.policies.arithmetic.sums import (
    EVIDENCE,
    LEVELS,
    REWARDS,
    StatisticKind,
    Statistics,
    Update,
    Vector,
    beside_level,
    evidence,
    rewards,
)
from selection.reliability import Factors, redistributed, relative

# e**-700 is still a normal float: shares of hopeless arms stay positive.
LOWEST_EXPONENT = -700.0
NO_ODDS: Mapping[str, float] = MappingProxyType({})


class Selection(NamedTuple):
    """The arms to ask, and the chance of each with which it was going to be asked.

    `overlap` says what a label counts beside those of other times (`weight_of`).
    """

    arms: tuple[str, ...]
    propensities: tuple[float, ...]
    overlap: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A policy applied to one state and one set of arms: selecting is then one look-up.

    `weights` are shares of trust, `probabilities` the chances of each arm to be asked.
    `odds` are log-odds to be right, of arms asked together, once there are labels.
    """

    weights: Mapping[str, float]
    probabilities: Mapping[str, float]
    selections: tuple[Selection, ...]
    bounds: tuple[float, ...]
    # Arms that are as good as never answering: asked by probes alone, whose failures are known.
    down: frozenset[str] = frozenset()
    odds: Mapping[str, float] = field(default_factory=lambda: NO_ODDS)
    # Shares of trust by Hedge, which answers are judged by as well.
    hedge: Mapping[str, float] = field(default_factory=lambda: NO_ODDS)
    # Labelled answers, if they have a part in answering.
    record: AnswerRecord | None = None

    def select(self, uniform: float, features: Sequence[float] = ()) -> Selection:
        """Return whom to ask, given a number drawn uniformly from [0, 1)."""
        return self.selections[bisect_right(self.bounds, uniform)]

    def assigned(
        self, key: str, *, uniform: float = 1.0, features: Sequence[float] = ()
    ) -> Selection:
        """Return whom to ask, the same for one key as long as the chances last.

        `uniform`, drawn from [0, 1), decides whether an arm that is down is probed.
        """
        if len(self.selections[0].arms) > 1:
            return self.selections[0]
        chances = self.chances(features)
        for arm in self.down:
            uniform -= chances[arm]
            if uniform < 0.0:
                return Selection((arm,), (chances[arm],), overlap_of(chances.values()))
        up = {arm: chance for arm, chance in chances.items() if arm not in self.down}
        if not any(up.values()):
            up = dict(chances)
        arm = owner_of(key, up, routes=routes_of(chances))
        return Selection((arm,), (chances[arm],), overlap_of(chances.values()))

    def reweighted(self, factors: Factors) -> Prepared:
        """Return the same if arms don't all answer reliably."""
        # Trust in the others keeps its proportions; queries are spread, as little may be known.
        weights = redistributed(self.weights, factors=factors, spread=0.0)
        down = down_of(self.weights, factors=factors)
        if any(len(selection.arms) > 1 for selection in self.selections):
            beside = relative(self.weights, factors=factors)
            odds = {arm: x * beside.get(arm, 1.0) for arm, x in self.odds.items()}
            return replace(self, weights=weights, down=down, odds=odds)
        chances = redistributed(self.probabilities, factors=factors)
        return Prepared.draw_one(
            weights=weights, probabilities=chances, down=down, record=self.record
        )

    def judged_by(self, record: AnswerRecord) -> Prepared:
        """Return the same with what labelled answers have shown; at best arms weigh their odds."""
        chosen = math.log(record.classes - 1.0)
        odds = {arm: max(x + chosen, 0.0) for arm, x in self.odds.items()}
        weights = normalise(odds) if odds and record.way == BY_ODDS else self.weights
        return replace(self, weights=weights, odds=odds, hedge=self.weights, record=record)

    @classmethod
    def draw_one(
        cls, *, weights: Mapping[str, float], probabilities: Mapping[str, float], **own: Any
    ) -> Self:
        """Prepare a policy that asks one arm by its probability; `own` are further fields."""
        drawn = {arm: chance for arm, chance in probabilities.items() if chance > 0.0}
        overlap = overlap_of(drawn.values())
        return cls(
            weights=weights,
            probabilities=probabilities,
            selections=tuple(
                Selection((arm,), (chance,), overlap) for arm, chance in drawn.items()
            ),
            # The last arm takes what rounding leaves, so that every number below 1 finds an arm.
            bounds=tuple(accumulate(drawn.values()))[:-1],
            **own,
        )

    def chances(self, features: Sequence[float] = ()) -> Mapping[str, float]:
        """Return the chance of each arm to be asked about a query with these features."""
        return self.probabilities


class Parameter(NamedTuple):
    """A number that a policy takes, from `low` to `high`; if `whole` only a whole one."""

    name: str
    default: float
    low: float
    high: float
    meaning: str
    whole: bool = False


def parameter(default: float, low: float, high: float, meaning: str, *, whole: bool = False) -> Any:
    """Return a field of a policy that applications may set."""
    return field(default=default, metadata={"parameter": (default, low, high, meaning, whole)})


class _Parameters:
    """The parameters among the fields of a policy's class; those of `Fading` come last."""

    def __get__(self, policy: Policy | None, owner: type[Policy]) -> tuple[Parameter, ...]:
        own = sorted(fields(owner), key=lambda one: one.name in ("decay", "inherit"))
        return tuple(
            Parameter(one.name, *one.metadata["parameter"])
            for one in own
            if "parameter" in one.metadata
        )


DECAY = (0.0, 0.5, "share of what was learned that each label makes fade")
INHERIT = (0.0, 1.0, "share of its predecessor's trust for a new version")
FLOOR = (0.0, 1.0, "share of queries spread evenly over all arms")


class Observation(NamedTuple):
    """Losses in [0, 1] of arms that were asked, their chances then, the features of the query."""

    losses: Mapping[str, float]
    propensities: Mapping[str, float]
    features: Sequence[float] = ()


class Proof(NamedTuple):
    """The chance `delta` that a proof of the best arm is wrong, and the `margin` of others."""

    delta: float = ALPHA
    margin: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(ABC):
    """One way to choose among arms and to learn from feedback.

    `arms` maps arms to the weights of their routes, `statistics` tell of each of them (`join`).
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    parameters = _Parameters()
    # True if feedback changes the choice.
    learns: ClassVar[bool] = True
    # True if a context keeps its arm as long as the arms' chances last.
    sticky: ClassVar[bool] = False

    decay: float = 0.003
    inherit: float = 0.5

    @property
    def statistic(self) -> StatisticKind:
        """The sums that `observe` adds to."""
        return REWARDS

    @property
    def statistics(self) -> tuple[StatisticKind, ...]:
        """All that `prepare` reads: the `statistic`, and behind it what else the policy keeps."""
        return (self.statistic,)

    @property
    def is_decided_by_counts(self) -> bool:
        """True if trust in arms differs the more, the more was observed of all.

        A context that is new then begins as decided as everybody's is (`shrinkage`).
        """
        return self.statistic.relative

    @property
    def keep(self) -> float:
        """Return the factor by which each further piece of feedback multiplies what was known."""
        return 1.0 - self.decay

    @property
    def warm_start(self) -> float:
        """The share of its predecessor's sums that a new version takes over."""
        return self.inherit

    @property
    def proof(self) -> Proof:
        """The proof that a recommendation needs."""
        return Proof()

    @abstractmethod
    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        """Do once, for a state, all the arithmetic that its queries share; some arm is there."""

    def observe(self, seen: Observation) -> dict[str, Vector]:
        """Return what to add to the sums."""
        return rewards(seen.losses)

    def encode(self, features: Features) -> tuple[float, ...]:
        """Return a query's features as the policy learns them. Raises `BadRequest` for others."""
        if features:
            raise BadRequest(f"features: policy {self.name!r} takes none.")
        return ()

    def reason(self, statistics: Statistics) -> str:
        """Return in a sentence why it does what it does; empty where its name says all."""
        return ""

    def update(
        self,
        *,
        losses: Mapping[str, float],
        propensities: Mapping[str, float],
        arms: Iterable[str] = (),
        features: Sequence[float] = (),
        at_ms: int = 0,
        key: str = "",
        overlap: float = 0.0,
        answer: AnswerSeen | None = None,
    ) -> Update:
        """Return the update that losses in [0, 1] of some arms make, live and in a replay alike.

        `arms` are those routed when the feedback came, by default those with losses; `key` and
        `overlap` are those of the query, `answer` is the combined one.
        """
        deltas: dict[StatisticKind, Statistics] = {
            REWARDS: rewards(losses),
            EVIDENCE: evidence(losses),
            self.statistic: self.observe(Observation(losses, propensities, features)),
        }
        if LEVELS in self.statistics:
            deltas[LEVELS] = beside_level(losses)
        if answer is not None:
            deltas[ANSWERS] = answer_sums(answer, observed=tuple(losses), at_ms=at_ms)
        routed = tuple(arms) or tuple(losses)
        weights = {
            arm: weight_of(propensities.get(arm, 0.0), overlap=overlap)
            for arm in losses
            if arm in routed
        }
        return Update(
            arms=tuple(dict.fromkeys((*routed, *losses))),
            routed=routed,
            observed=tuple(losses),
            deltas=deltas,
            keep=self.keep,
            warm_start=self.warm_start,
            at_ms=at_ms,
            key=key,
            counts={arm: (w, w * (1.0 - losses[arm])) for arm, w in weights.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fading(Policy):
    """A policy whose applications may set how fast what it learned fades."""

    decay: float = parameter(0.003, *DECAY)
    inherit: float = parameter(0.5, *INHERIT)


def weight_of(propensity: float, *, overlap: float) -> float:
    """Return what a label counts in the sums of its person; 1 if `overlap` isn't known.

    A label of an arm that had the chance p counts h / p, with h = 1 / sum(1 / p) over all arms that
    had one: the overlap weights of Li and Li (Annals of Applied Statistics 2019). So the means of
    all arms are of the same queries, however chances move, and no label counts more than one.
    """
    return min(overlap / propensity, 1.0) if overlap > 0.0 and propensity > 0.0 else 1.0


def overlap_of(chances: Iterable[float]) -> float:
    """Return h of arms of which one is drawn; 0 if there is only one to draw.

    An arm with hardly any chance is never seen beside the others.
    """
    inverse = [1.0 / chance for chance in chances if chance > 1e-9]
    return 1.0 / sum(inverse) if len(inverse) > 1 else 0.0


def shares(statistics: Statistics) -> dict[str, float]:
    """Return the softmax of log-weights: positive shares that sum to 1, however far apart."""
    highest = max(weight for (weight,) in statistics.values())
    scaled = {
        arm: math.exp(max(weight - highest, LOWEST_EXPONENT))
        for arm, (weight,) in statistics.items()
    }
    return normalise(scaled)


def normalise(weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weights divided by their sum; equal shares where nothing weighs anything."""
    total = math.fsum(weights.values())
    if total <= 0.0:
        return dict.fromkeys(weights, 1.0 / len(weights))
    return {arm: weight / total for arm, weight in weights.items()}


def add_floor(chances: Mapping[str, float], *, floor: float) -> dict[str, float]:
    """Return the chances mixed with a share of exploration, spread evenly."""
    even = floor / len(chances)
    return {arm: (1.0 - floor) * chance + even for arm, chance in chances.items()}


def evenly(arms: Sequence[str], among: Mapping[str, object]) -> dict[str, float]:
    """Return equal chances for `arms`, and none for the others `among` them."""
    chosen = set(arms)
    return {arm: 1.0 / len(chosen) if arm in chosen else 0.0 for arm in among}


def highest(scores: Mapping[str, float]) -> list[str]:
    """Return the arms of the highest score, all that tie."""
    most = max(scores.values())
    return [arm for arm, score in scores.items() if score == most]


def trust(statistics: Statistics) -> dict[str, float]:
    """Return shares in proportion to mean rewards, by Laplace's rule of succession."""
    return normalise({arm: (v[1] + 1.0) / (v[0] + 2.0) for arm, v in statistics.items()})


def down_of(shares: Mapping[str, float], *, factors: Factors) -> frozenset[str]:
    """Return the arms that are asked by probes alone."""
    beside = relative(shares, factors=factors)
    return frozenset(arm for arm, factor in beside.items() if factor == 0.0)


def ask_all(*, weights: Mapping[str, float], odds: Mapping[str, float] = NO_ODDS) -> Prepared:
    """Prepare a policy that asks every arm, every time."""
    # A whole 1 takes one byte in a receipt where 1.0 takes nine.
    everyone = Selection(tuple(weights), (1,) * len(weights))
    return Prepared(
        weights=weights,
        probabilities=dict.fromkeys(weights, 1.0),
        selections=(everyone,),
        bounds=(),
        odds=odds,
    )
