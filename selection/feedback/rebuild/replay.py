"""Learns again from feedback that was kept, in the order in which it was counted, to the bit.

Only the policy is today's, with today's parameters.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from selection.context_names import GLOBAL_CONTEXT
from selection.policies import Policy
from selection.policies.arithmetic.answer_sums import AnswerSeen
from selection.policies.arithmetic.sums import State, learn_in


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptUpdate:
    """One piece of feedback as it was counted, `at` a time in seconds.

    `routed` are the arms that queries chose among, `gone` contexts forgotten just before it.
    """

    position: int
    at: float
    context: str
    losses: Mapping[str, float]
    propensities: Mapping[str, float]
    routed: Sequence[str] = ()
    features: Sequence[float] = ()
    key: str = ""
    overlap: float = 0.0
    forced: bool = False
    gone: Sequence[str] = ()
    answer: AnswerSeen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """Somebody had a context forgotten; None: every one, the global one too."""

    position: int
    context: str | None


Entry = KeptUpdate | Reset


class ReplayedContext(msgspec.Struct):
    """One context after the replay: what it learned, from how much, when last and from which."""

    state: State = State()
    feedback: dict[str, int] = {}
    updated_at: float = 0.0
    position: int = 0


class Replay:
    """An application's contexts, learned anew from those that it goes on from."""

    def __init__(
        self, policy: Policy, *, contexts: Mapping[str, ReplayedContext] | None = None
    ) -> None:
        self.contexts: dict[str, ReplayedContext] = dict(contexts or {})
        # Contexts that are not as they were, or gone.
        self.changed: set[str] = set()
        # Entries that something was learned from.
        self.observed = 0
        self._policy = policy

    def follow(self, entries: Iterable[Entry]) -> None:
        """Take the entries one after the other; they must come in the order of their positions."""
        for entry in entries:
            if isinstance(entry, KeptUpdate):
                self._learn(entry)
            else:
                self._forget(tuple(self.contexts) if entry.context is None else (entry.context,))

    def _forget(self, contexts: Iterable[str]) -> None:
        for context in contexts:
            self.changed.add(context)
            self.contexts.pop(context, None)

    def _learn(self, entry: KeptUpdate) -> None:
        if entry.forced or not entry.losses:
            return
        self._forget(entry.gone)
        update = self._policy.update(
            arms=entry.routed,
            losses=entry.losses,
            propensities=entry.propensities,
            features=entry.features,
            key=entry.key,
            overlap=entry.overlap,
            at_ms=round(entry.at * 1000.0),
            answer=entry.answer,
        )
        states = {
            context: known.state
            for context in (entry.context, GLOBAL_CONTEXT)
            if (known := self.contexts.get(context)) is not None
        }
        for context, state in learn_in(entry.context, update, states=states).items():
            learned = self.contexts.setdefault(context, ReplayedContext())
            self.changed.add(context)
            learned.state = state
            for arm in update.observed:
                learned.feedback[arm] = learned.feedback.get(arm, 0) + 1
            learned.updated_at, learned.position = entry.at, entry.position
        self.observed += 1
