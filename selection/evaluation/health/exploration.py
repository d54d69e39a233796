"""Check that each arm gets the share of calls that the policy keeps for it.

Calls of few people who are kept with an arm may all go to others by chance. So an arm lacks calls
only if the chances that it had, look by look, come to as few.
"""

from collections.abc import Mapping

import msgspec

from selection.evaluation.health.finding import ALARM, GOOD, UNKNOWN, Finding
from selection.policies import Policy
from selection.policies.policy import normalise


class Exploration(msgspec.Struct):
    """Calls by arm, and those that its chances come to, of which old ones fade."""

    calls: dict[str, float] = {}
    due: dict[str, float] = {}

    def look(self, calls: Mapping[str, int], *, chances: Mapping[str, float]) -> None:
        total = sum(calls.values())
        # After so many further calls a call counts half. Sums of before have no chances with them.
        keep = 0.5 ** (total / 10_000) if self.due else 0.0
        self.calls = _faded(self.calls, keep=keep, calls=calls)
        due = {arm: total * chance for arm, chance in chances.items()}
        self.due = _faded(self.due, keep=keep, calls=due)

    def finding(self, policy: Policy, *, weights: Mapping[str, float]) -> Finding:
        """Judge the arms of `weights`; what goes to others, since removed, has no part in it."""
        total = sum(self.calls.get(arm, 0.0) for arm in weights)
        kept = kept_for(policy, weights=weights)
        collapsed = [arm for arm in weights if self._has_collapsed(arm, kept[arm], total=total)]
        lowest = min(weights, key=lambda arm: self.calls.get(arm, 0.0))
        share = self.calls.get(lowest, 0.0) / total if total else None
        if share is None or not (collapsed or self._tells(total, kept=kept)):
            return Finding(UNKNOWN, share, "Too few calls so far to tell")
        if collapsed:
            arm = collapsed[0]
            had, least = self.calls.get(arm, 0.0) / total, kept[arm]
            words = (
                f"where {least * 100:.2f} % is kept for it"
                if least
                else "and nothing is kept for it"
            )
            return Finding(
                ALARM, share, f"{arm} got {had * 100:.2f} % of the latest calls, {words}"
            )
        return Finding(
            GOOD, share, f"{lowest} got the fewest, {share * 100:.2f} % of the latest calls"
        )

    def _has_collapsed(self, arm: str, share: float | None, *, total: float) -> bool:
        calls = max(self.calls.get(arm, 0.0), self.due.get(arm, 0.0))
        if share is None:
            return False
        if share == 0.0:
            # An arm that nothing is kept for has no chance left if it got none of so many calls.
            return total >= 10_000.0 and calls < 1.0
        # A fourth of 40 calls drawn by chance is one in 10**8.
        return total * share >= 40.0 and calls < 0.25 * share * total

    def _tells(self, total: float, *, kept: Mapping[str, float | None]) -> bool:
        least = min((share for share in kept.values() if share), default=0.0)
        return total * least >= 40.0 if least else total >= 10_000.0


def kept_for(policy: Policy, *, weights: Mapping[str, float]) -> dict[str, float | None]:
    """Return the share of calls that each arm should at least have."""
    if not policy.learns:
        return {arm: share or None for arm, share in normalise(weights).items()}
    return dict.fromkeys(weights, float(getattr(policy, "floor", 0.0)) / len(weights))


def _faded(
    known: Mapping[str, float], *, keep: float, calls: Mapping[str, float]
) -> dict[str, float]:
    return {arm: known.get(arm, 0.0) * keep + calls.get(arm, 0) for arm in {**known, **calls}}
