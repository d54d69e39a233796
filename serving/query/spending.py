"""What asking each arm took, for applications that set a price on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selection.receipts import Spent
from serving.engine.gather import Trace
from serving.query.routing import Target


def together(spent: Sequence[Spent], *, elapsed: float) -> Spent:
    """Return what several arms took that were asked one after the other: `elapsed` at most.

    The last was waited for since the beginning where it has no answer, the others' time included.
    """
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
    """Return what each of `arms` took, out of all that were `asked`, whose `traces` these are.

    An answer took as long as it was queued and in its batch: nothing, where it was remembered. An
    arm without an answer was waited for all the time that `elapsed`. Without traces nobody wants
    to know the seconds.
    """
    seconds = (
        {}
        if traces is None
        else {
            arm: elapsed if trace is None else trace.queued + trace.in_batch
            for arm, trace in zip(asked, traces, strict=True)
        }
    )
    return tuple(Spent(seconds.get(arm, 0.0), targets[arm].version.cost) for arm in arms)
