"""What the outcomes of a query say of its arms' reliability: at once, and without any feedback."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from serving.engine.outcome import Outcome, Status

# A call that is in quarantine was never made: its input has ended replicas before.
UNKNOWN = (Status.INVALID_INPUT, Status.QUARANTINED)
FAILED = (Status.MODEL_FAILED, Status.NOT_CONNECTED, Status.REPLICA_LOST)


def charges(
    arms: Sequence[str], outcomes: Sequence[Outcome | None], *, hurried: Sequence[bool]
) -> Iterator[tuple[str, bool]]:
    """Yield arms of which something is known now, and whether they answered.

    An arm that refuses is at fault where another accepts the same input; an input that all refuse
    says nothing of anybody, and neither does a late answer of an arm that had less time than the
    objective, the `hurried`.
    """
    accepted = any(outcome is not None and outcome.status == Status.OK for outcome in outcomes)
    for arm, outcome, had_less in zip(arms, outcomes, hurried, strict=True):
        answered = _answered(outcome, accepted=accepted, hurried=had_less)
        if answered is not None:
            yield arm, answered


def _answered(outcome: Outcome | None, *, accepted: bool, hurried: bool) -> bool | None:
    if outcome is not None:
        if outcome.status == Status.OK:
            return True
        if outcome.status in UNKNOWN:
            return False if accepted else None
        if outcome.status in FAILED:
            return False
    return None if hurried else False
