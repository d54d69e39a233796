"""Charges of a query to its arms: reliability, seconds and costs."""

from collections.abc import Mapping, Sequence

from selection.receipts import Spent
from serving.engine.engine import Target
from serving.engine.gather import Trace
from serving.engine.outcome import Outcome, Status

# A call that is in quarantine was never made: its input has ended replicas before.
UNKNOWN = (Status.INVALID_INPUT, Status.QUARANTINED)
FAILED = (Status.MODEL_FAILED, Status.NOT_CONNECTED, Status.REPLICA_LOST)


def charge(outcome: Outcome | None, *, accepted: bool, hurried: bool) -> bool | None:
    """Return whether an arm answered; None if its outcome says nothing of it.

    Refusing an input counts only if another arm accepts it, and a late answer only if the arm had
    the whole objective, so was not `hurried`.
    """
    if outcome is not None:
        if outcome.status == Status.OK:
            return True
        if outcome.status in UNKNOWN:
            return False if accepted else None
        if outcome.status in FAILED:
            return False
    return None if hurried else False


def together(spent: Sequence[Spent], *, elapsed: float) -> Spent:
    """Return what arms took that were asked one after the other: `elapsed` at most."""
    seconds = sum(one.seconds for one in spent)
    return Spent(min(seconds, elapsed), sum(one.cost for one in spent))


def spent_on(
    arms: Sequence[str],
    *,
    asked: Sequence[str],
    traces: Sequence[Trace | None] | None,
    targets: Mapping[str, Target],
    elapsed: float,
) -> tuple[Spent, ...]:
    """Return what each of `arms` took: an answer its time in queue and batch, a missing one all."""
    seconds = {}
    for arm, trace in zip(asked, traces or (), strict=traces is not None):
        seconds[arm] = elapsed if trace is None else trace.queued + trace.in_batch
    return tuple(Spent(seconds.get(arm, 0.0), targets[arm].version.cost) for arm in arms)
