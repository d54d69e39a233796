"""Check that a key meets one arm alone, if it is to be kept with one."""

from hashlib import blake2b

import msgspec

from selection.evaluation.health.finding import ALARM, GOOD, Finding, not_applicable

# In place of the arm of a key that several were asked in.
SEVERAL = ""


class Exposure(msgspec.Struct):
    """The arm of each key that is followed: one in 2**`halvings`, by their hashes."""

    halvings: int = 0
    arms: dict[str, str] = {}

    def note(self, key: str, *, arm: str) -> bool:
        """Say whether this is the first label of a key that is followed."""
        name = blake2b(key.encode(), digest_size=8).hexdigest()
        if not self._follows(name):
            return False
        known = self.arms.get(name)
        self.arms[name] = arm if known in (None, arm) else SEVERAL
        # Beyond so many keys every second one is let go, by its hash.
        while len(self.arms) > 2_000:
            self.halvings += 1
            self.arms = {name: arm for name, arm in self.arms.items() if self._follows(name)}
        return known is None

    def _follows(self, name: str) -> bool:
        return int(name, 16) % (1 << self.halvings) == 0

    def finding(self, *, may_move: bool) -> Finding:
        """Judge what came so far; where chances move, a few keys `may_move` with them."""
        if not self.arms:
            return not_applicable("No label yet of a query that names a key")
        several = sum(arm == SEVERAL for arm in self.arms.values())
        share = several / len(self.arms)
        counts = f"{several:,} of {len(self.arms):,} keys have labels of more than one version"
        if may_move:
            return Finding(GOOD, share, f"{counts}; they move as the policy learns")
        # A few may move: while a model is down, its keys are with another one.
        if several >= 5 and share > 0.01:
            return Finding(ALARM, share, f"{counts}, though each is to be kept with one")
        return Finding(GOOD, share, counts)
