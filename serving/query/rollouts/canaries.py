"""Canaries: versions that are asked in the place of a live one, by a chance or by a key.

The policy chooses among live versions; a second draw decides whether the canary takes the place of
one. So what is known of the policy's arms stays theirs, and the chance of each answer is logged.
"""

from collections.abc import Mapping
from typing import NamedTuple

from selection.policies import Selection
from selection.policies.arithmetic.assignment import uniform_of
from selection.receipts import RolloutDraw
from serving.engine.engine import Target


class Canary(NamedTuple):
    """A version that is rolled out, and the share of its model's queries that it gets.

    If it is `hedged`, the live version is asked beside it, and answers if it doesn't in time.
    """

    rollout_id: int
    arm: str
    target: Target
    share: float
    hedged: bool
    shadow_share: float


class Draw(NamedTuple):
    """The place of a live arm among those asked, and whether its canary has taken it."""

    canary: Canary
    live: str
    taken: bool
    # "": drawn for this query alone.
    person: str

    @property
    def logged(self) -> RolloutDraw:
        """Return what the receipt says of it."""
        canary = self.canary
        return RolloutDraw(
            canary.rollout_id, canary.arm, self.live, canary.share, self.taken, self.person
        )


def drawn(
    selection: Selection, canaries: Mapping[str, Canary], *, person: str, uniform: float
) -> tuple[Selection, tuple[Draw, ...]]:
    """Return the arms to ask with canaries among them, and their draws.

    A `person` meets the same version throughout a rollout, or the canary from some share on.
    """
    draws = []
    arms, propensities = list(selection.arms), list(selection.propensities)
    for place, live in enumerate(selection.arms):
        canary = canaries.get(live)
        if canary is None or not canary.share:
            continue
        point = uniform_of(f"{canary.rollout_id}\0{person}") if person else uniform
        taken = point < canary.share
        propensities[place] *= canary.share if taken else 1.0 - canary.share
        if taken:
            arms[place] = canary.arm
        draws.append(Draw(canary, live, taken, person))
    if not draws:
        return selection, ()
    return Selection(tuple(arms), tuple(propensities), selection.overlap), tuple(draws)


def hedges_of(draws: tuple[Draw, ...]) -> tuple[str, ...]:
    """Return the live arms that are asked beside their canaries."""
    return tuple(draw.live for draw in draws if draw.taken and draw.canary.hedged)


def by_places(outputs: Mapping[str, bytes], draws: tuple[Draw, ...]) -> dict[str, bytes]:
    """Return outputs under the names of the live arms: a canary's own, where it has answered."""
    found = dict(outputs)
    for draw in draws:
        if draw.taken and draw.canary.arm in found:
            found[draw.live] = found.pop(draw.canary.arm)
    return found
