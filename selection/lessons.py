"""What a policy makes of one piece of feedback: the same when it comes and when it is replayed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from selection.beliefs import Lesson
from selection.policies import Policy


def lesson_of(
    policy: Policy,
    *,
    arms: Iterable[str],
    losses: Mapping[str, float],
    propensities: Mapping[str, float],
    features: Sequence[float] = (),
) -> Lesson:
    """Return the lesson that losses in [0, 1] of some arms are.

    `arms` are those routed when the feedback came; those that answered take part as well, in the
    order of their losses. `propensities` are the arms' chances of being asked, `features` those of
    the query.
    """
    return Lesson(
        arms=tuple(dict.fromkeys((*arms, *losses))),
        taught=tuple(losses),
        deltas=policy.deltas(losses=losses, propensities=propensities, features=features),
        keep=policy.keep,
        heritage=policy.heritage,
    )
