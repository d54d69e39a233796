"""Check that people don't label bad answers alone.

Then every label says the same of any arm, and what tells arms apart is how often there is none.
"""

import msgspec

from selection.evaluation.health.finding import ALARM, GOOD, UNKNOWN, Finding
from selection.inference import Rewards, mean

# Labels of hardly any application call fewer answers good than this.
FEW_GOOD = 0.1


class OneSided(msgspec.Struct):
    """Queries of an experiment, the number of labels, and the sum of their rewards."""

    queries: float = 0.0
    labels: float = 0.0
    rewards: float = 0.0

    def look(self, *, queries: int, labels: float, rewards: float) -> None:
        """Take what came since the last look."""
        self.queries += queries
        self.labels += labels
        self.rewards += rewards

    def finding(self) -> Finding:
        # If more answers are good than that, this ever alarms with a chance of half a percent.
        found = mean(Rewards(self.labels, self.rewards), alpha=0.01)
        if found is None or found.low < FEW_GOOD < found.high:
            return Finding(UNKNOWN, found and found.value, "Too few labels so far to tell")
        share = f"{found.value * 100:.1f} % of {self.labels:,.0f} labels call the answer good"
        unlabelled = 1.0 - self.labels / self.queries if self.queries else 0.0
        if found.high > FEW_GOOD or unlabelled < 0.5:
            return Finding(GOOD, found.value, share)
        return Finding(
            ALARM,
            found.value,
            f"{share}, and {unlabelled * 100:.0f} % of the queries have none: if people label bad "
            "answers alone, set the application's field default_reward to 1, so that an answer "
            "without a label counts as good",
        )
