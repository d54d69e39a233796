"""A selection policy at work, without a server around it: asks, combines, learns, as that does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selection.answers.combine import combine
from selection.learning.update import update_of
from selection.policies import Policy, Prepared, Selection
from selection.policies.statistics import State, join, learn
from selection.rewards.losses import make_loss

LOSS = make_loss()


class Learner:
    """One context's state and the policy applied to it; `general` is what all contexts know.

    The arithmetic is the servers' own (`selection.policies.statistics`), which Redis does in a
    script.
    """

    def __init__(
        self, policy: Policy, *, arms: Sequence[str], general: State | None = None
    ) -> None:
        self.state = State()
        self._policy = policy
        self._arms = dict.fromkeys(arms, 1.0)
        self._general = general
        self._prepared: Prepared | None = None

    @property
    def prepared(self) -> Prepared:
        """The policy applied to what is known now."""
        if self._prepared is None:
            policy = self._policy
            statistics = join(
                self.state,
                self._arms,
                statistic=policy.statistic,
                warm_start=policy.warm_start,
                general=self._general,
            )
            self._prepared = policy.prepare(statistics, self._arms)
        return self._prepared

    def answer(self, selection: Selection, *, outputs: Mapping[str, bytes]) -> bytes:
        """Combine what the selected arms answer (JSON text by arm)."""
        asked = {arm: outputs[arm] for arm in selection.arms}
        return combine(asked, weights=self.prepared.weights, asked=selection.arms).output

    def learn(self, selection: Selection, *, outputs: Mapping[str, bytes], label: bytes) -> None:
        """Take the label of a query that the selected arms have answered."""
        self.take(selection, {arm: LOSS(label, outputs[arm]) for arm in selection.arms})

    def take(
        self, selection: Selection, losses: Mapping[str, float], *, features: Sequence[float] = ()
    ) -> None:
        """Learn from what each of the selected arms has lost."""
        update = update_of(
            self._policy,
            arms=self._arms,
            losses=losses,
            propensities=dict(zip(selection.arms, selection.propensities, strict=True)),
            features=features,
        )
        self.state = learn(self.state, update, general=self._general)
        self._prepared = None
