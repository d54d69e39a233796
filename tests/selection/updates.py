"""Random lessons, and a state that learns them both ways: by arithmetic and by the script."""

import os
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from selection.feedback.events import ArmOutcome, FeedbackEvent
from selection.feedback.persistence.journal import JournalUpdate
from selection.policies import Policy
from selection.policies.arithmetic.answer_sums import SLOTS, AnswerSeen
from selection.policies.arithmetic.sums import (
    LEVELS,
    State,
    StatisticKind,
    Statistics,
    Update,
    beside_level,
    learn_in,
)

FAMILIES = (
    StatisticKind("log", 1, relative=True),
    StatisticKind("rew", 3),
    StatisticKind("pair", 2),
    StatisticKind("lin", 12),
    StatisticKind("bank", 4, keeps=(1.0, 0.999, 0.97, 0.1), by_arm=2),
    StatisticKind("own", 2, by_arm=2),
    StatisticKind("slow", 2, relative=True, keeps=(1.0, 0.3)),
    LEVELS,
    StatisticKind("all", 3, keeps=(0.9,) * 3, by_arm=3, everybody=True),
)
# Versions that follow each other, and names that begin or sort alike.
ARMS = ("svm:1", "svm:2", "svm:10", "svm-rbf:1", "knn:1", "knn:2", "tree:a-1", "tree:a1", "tree:a")
CONTEXTS = ("", "ann", "bob")
KEYS = ("", "u1", "u2")

numbers = st.floats(-1e3, 1e3) | st.sampled_from([0.0, -0.0, 1.0, -0.3, 5e-324, 1e15])
shares = st.floats(0.0, 1.0)


@st.composite
def updates(draw: st.DrawFn) -> tuple[str, Update]:
    """A context, and what it is to learn."""
    return draw(alike(most=1))[0]


@st.composite
def alike(draw: st.DrawFn, *, most: int) -> list[tuple[str, Update]]:
    """Some that one context is to learn of the same arms, in the same kinds of sums."""
    context = draw(st.sampled_from(CONTEXTS))
    arms = tuple(draw(st.lists(st.sampled_from(ARMS), min_size=1, max_size=5, unique=True)))
    routed = arms[: draw(st.integers(1, len(arms)))]
    kinds = draw(st.lists(st.sampled_from(FAMILIES), min_size=1, max_size=3, unique=True))
    kinds.sort(key=lambda kind: kind.everybody)
    keep, warm_start = draw(st.floats(0.5, 1.0)), draw(shares)
    found = []
    for _ in range(draw(st.integers(1, most))):
        observed = tuple(draw(st.lists(st.sampled_from(arms), min_size=1, unique=True)))
        update = Update(
            arms=arms,
            routed=routed,
            observed=observed,
            deltas={kind: _deltas(draw, kind, observed) for kind in kinds},
            keep=keep,
            warm_start=warm_start,
            key=draw(st.sampled_from(KEYS)),
            counts=draw(
                st.dictionaries(st.sampled_from(routed), st.tuples(shares, shares), max_size=3)
            ),
        )
        found.append((context, update))
    return found


def _deltas(draw: st.DrawFn, statistic: StatisticKind, observed: tuple[str, ...]) -> Statistics:
    taught = draw(st.lists(st.sampled_from(observed), unique=True))
    if statistic.levelled:
        return beside_level({arm: draw(shares) for arm in taught})
    return {arm: tuple(draw(numbers) for _ in range(statistic.width)) for arm in taught}


def journal_update(
    context: str,
    update: Update | None,
    *,
    application_id: int = 1,
    nonce: bytes = b"",
    at_ms: int = 1_700_000_001_000,
    outcomes: tuple[ArmOutcome, ...] = (),
    overlap: float = 0.0,
    answer: AnswerSeen | None = None,
    **bounds: int,
) -> JournalUpdate:
    nonce = nonce or os.urandom(12)
    event = FeedbackEvent(
        application_id=application_id,
        context=context,
        nonce=nonce.hex(),
        issued_at_ms=at_ms - 1000,
        received_at_ms=at_ms,
        kind="receipt",
        label="7",
        reward=None,
        arms=outcomes,
        forced=False,
        routed=() if update is None else update.routed,
        key="" if update is None else update.key,
        overlap=overlap,
        answer=answer,
    )
    fields: dict[str, Any] = {"window_s": 3600, "context_ttl_s": 90 * 86_400, "max_contexts": 1000}
    return JournalUpdate(mark=nonce, event=event, update=update, **(fields | bounds))


def feedback_update(
    policy: Policy,
    losses: Mapping[str, float],
    *,
    context: str = "",
    routed: tuple[str, ...] = (),
    chance: float = 0.5,
    at_ms: int = 1_700_000_001_000,
    key: str = "",
    overlap: float = 0.2,
    answer: AnswerSeen | None = None,
    **changes: Any,
) -> JournalUpdate:
    """An observation as the service makes it of losses."""
    update = policy.update(
        arms=routed,
        losses=losses,
        propensities=dict.fromkeys(losses, chance),
        at_ms=at_ms,
        key=key,
        overlap=overlap,
        answer=answer,
    )
    outcomes = tuple(ArmOutcome(arm, chance, "1", loss) for arm, loss in losses.items())
    more = {"overlap": overlap, "answer": answer, **changes}
    return journal_update(context, update, outcomes=outcomes, at_ms=at_ms, **more)


margins = st.floats(-60.0, 60.0)
answers = st.none() | st.builds(
    AnswerSeen,
    st.tuples(margins, margins),
    st.tuples(shares, shares),
    st.lists(st.integers(0, SLOTS - 1), max_size=3, unique=True).map(tuple),
)


def learned(observed: list[tuple[str, Update]]) -> Mapping[str, State]:
    """The states by context after the lessons, by arithmetic alone."""
    states: dict[str, State] = {}
    for context, update in observed:
        states |= learn_in(context, update, states=states)
    return states
