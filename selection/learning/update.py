"""What a policy makes of one piece of feedback: the same when it comes and when it is replayed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from selection.policies import Policy
from selection.policies.statistics import Update


def update_of(
    policy: Policy,
    *,
    arms: Iterable[str],
    losses: Mapping[str, float],
    propensities: Mapping[str, float],
    features: Sequence[float] = (),
    at_ms: int = 0,
) -> Update:
    """Return the update that losses in [0, 1] of some arms are.

    `arms` are those routed when the feedback came, those with losses where none is known; those
    that answered take part as well, in the order of their losses. `propensities` are the arms'
    chances of being asked, `features` those of the query, `at_ms` is when the feedback came.
    """
    routed = tuple(arms) or tuple(losses)
    return Update(
        arms=tuple(dict.fromkeys((*routed, *losses))),
        routed=routed,
        observed=tuple(losses),
        deltas=policy.deltas(losses=losses, propensities=propensities, features=features),
        keep=policy.keep,
        warm_start=policy.warm_start,
        at_ms=at_ms,
    )
