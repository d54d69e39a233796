"""Kept feedback as it is evaluated: whom a query asked, by what chance, and what that earned.

A reward is 1 - loss. Where several arms were asked, all of them were asked for certain: no policy
draws a part of them, and shares of trust that older rows may log instead of a 1 say nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class LoggedArm(NamedTuple):
    """An arm that was asked: the chance it had of that, what it answered, and what that earned.

    `reward` is also that of an arm which didn't answer in time: what was given instead of its
    answer. `output` and `loss` are then None, and nothing is learned from it.
    """

    arm: str
    propensity: float
    output: bytes | None
    loss: float | None
    reward: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedQuery:
    """One piece of feedback. `routed` are the arms there were to choose from; () if unknown.

    `given` says that the answer went to somebody; a labelled input only asked the arms. `reward`
    is what the answer as a whole earned, where people told that instead of a label. Queries of one
    `key`, or of one context where there is none, may have been kept with one arm.
    """

    asked: tuple[LoggedArm, ...]
    label: bytes | None = None
    reward: float | None = None
    context: str = ""
    key: str = ""
    routed: tuple[str, ...] = ()
    features: tuple[float, ...] = ()
    given: bool = True

    @property
    def certain(self) -> bool:
        """Whether each arm asked was asked for certain."""
        return len(self.asked) > 1 or self.asked[0].propensity >= 1.0

    def chance_of(self, arm: LoggedArm) -> float:
        return 1.0 if self.certain else arm.propensity
