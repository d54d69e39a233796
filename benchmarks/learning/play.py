"""Plays a policy in a world: with the servers' own arithmetic, or somebody else's choices."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from benchmarks.learning.worlds import QUERIES, Asked, World
from selection.context_names import GLOBAL_CONTEXT
from selection.policies import POLICIES, Policy, Prepared, make_policy
from selection.policies.arithmetic.sums import State, learn_in
from selection.store.state_record import prepared


class Chosen(NamedTuple):
    """An arm, and the chance that it had of being asked."""

    arm: int
    chance: float


class Player(Protocol):
    """Chooses among arms and learns from rewards. Made for so many arms, with a seed."""

    def __init__(self, arms: int, *, seed: int) -> None: ...

    def choose(self, *, context: str, features: Sequence[float]) -> Chosen: ...

    def learn(
        self, chosen: Chosen, reward: float, *, context: str, features: Sequence[float]
    ) -> None: ...


@dataclass(slots=True)
class Ours:
    """A policy of ours, by the arithmetic that the web processes and Redis share."""

    policy: Policy
    arms: Mapping[str, float]
    takes_features: bool
    luck: np.random.Generator
    states: dict[str, State] = field(default_factory=dict)
    ready: dict[str, Prepared] = field(default_factory=dict)

    def choose(self, *, context: str, features: Sequence[float]) -> Chosen:
        if context not in self.ready:
            general = None if context == GLOBAL_CONTEXT else self._state(GLOBAL_CONTEXT)
            self.ready[context] = prepared(
                self.policy, self._state(context), self.arms, general=general
            )
        selection = self.ready[context].select(self.luck.random(), self._encoded(features))
        return Chosen(int(selection.arms[0].partition(":")[0]), selection.propensities[0])

    def learn(
        self, chosen: Chosen, reward: float, *, context: str, features: Sequence[float]
    ) -> None:
        arm = f"{chosen.arm}:1"
        update = self.policy.update(
            arms=self.arms,
            losses={arm: 1.0 - reward},
            propensities={arm: chosen.chance},
            features=self._encoded(features),
        )
        self.states |= learn_in(context, update, states=self.states)
        self.ready.clear()

    def _encoded(self, features: Sequence[float]) -> tuple[float, ...]:
        return self.policy.encode(features) if self.takes_features else ()

    def _state(self, context: str) -> State:
        return self.states.get(context, State())


@dataclass(frozen=True, slots=True)
class Served:
    """Makes players of a policy of ours."""

    policy: Policy
    takes_features: bool

    @classmethod
    def of(cls, name: str, params: Mapping[str, float], *, features: int) -> Served:
        taken = {parameter.name: parameter for parameter in POLICIES[name].parameters}
        if "dimensions" in taken and features:
            params = {"dimensions": features, **params}
        return cls(make_policy(name, params), features > 0 and "dimensions" in taken)

    def __call__(self, arms: int, *, seed: int) -> Ours:
        names = dict.fromkeys((f"{arm}:1" for arm in range(arms)), 1.0)
        return Ours(self.policy, names, self.takes_features, np.random.default_rng((seed, 1)))


def play(made: type[Player] | Served, world: World, *, seed: int, queries: int = QUERIES) -> float:
    """Return the regret: what the best arm of each query would have earned beyond what the arms
    that were asked do, in expectation.
    """
    luck = np.random.default_rng((seed, 0))
    player = made(world.arms, seed=seed)
    regret, waiting = 0.0, deque[Answered]()
    for query in range(queries):
        asked = world.ask(query, luck)
        chosen = player.choose(context=asked.context, features=asked.features)
        mean = float(asked.means[chosen.arm])
        regret += float(asked.means.max()) - mean
        reward, labelled = world.reward(mean, luck), luck.random() < world.labelled
        waiting.append(Answered(asked, chosen, reward, labelled))
        if len(waiting) > world.delay:
            one = waiting.popleft()
            if one.labelled:
                player.learn(
                    one.chosen, one.reward, context=one.asked.context, features=one.asked.features
                )
    return regret


class Answered(NamedTuple):
    """A query whose label is still to come, where it comes at all."""

    asked: Asked
    chosen: Chosen
    reward: float
    labelled: bool
