"""Gain of a policy over the routes' weights, measured on the keys that are held out of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from registry.models import Application
from selection.evaluation.logged import LoggedQuery
from selection.inference import LEAST, Interval, Seen, half_width
from selection.models import ExperimentHealth
from selection.policies.arithmetic.person_sums import NOBODY, groups_of

# People are hashed into so many groups, each of which counts as one person: few enough to be
# written down with each snapshot.
GROUPS = 256
POLICY, HELD_OUT = "policy", "held_out"


class Holdout:
    """The number and the sum of rewards of each group of people, of either side."""

    def __init__(self, stored: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        self.sums = {side: dict(stored.get(side, {})) for side in (POLICY, HELD_OUT)}

    def see(self, query: LoggedQuery, *, held_out: bool, reward: float) -> None:
        """Take what the answer to somebody earned; an answer to nobody is left out."""
        _, group = groups_of(query.key, context=query.context)
        if group != NOBODY and query.given:
            groups, name = self.sums[HELD_OUT if held_out else POLICY], str(group % GROUPS)
            number, total = groups.get(name, (0.0, 0.0))
            groups[name] = (number + 1.0, total + reward)

    def gain(self) -> Interval | None:
        """Return how much more the policy earns than those held out; None of too few people.

        It holds at any time, as it is: both sides are of the same times.
        """
        own, held = self._seen(POLICY), self._seen(HELD_OUT)
        people = min(own.people, held.people)
        if people < LEAST:
            return None
        gain = own.mean - held.mean
        half = half_width(own.variance + held.variance, people=people)
        return Interval(gain, gain - half, gain + half)

    def described(self) -> dict[str, Any]:
        """Return the gain, and what it rests on, as JSON values."""
        gain = self.gain()
        sides = {side: self._seen(side) for side in self.sums}
        return {
            "gain": None if gain is None else gain._asdict(),
            **{
                side: {
                    "feedback": round(seen.number),
                    "mean": seen.mean if seen.number else None,
                    "people": round(seen.people),
                }
                for side, seen in sides.items()
            },
        }

    def _seen(self, side: str) -> Seen:
        groups = self.sums[side].values()
        labels = sum(n for n, _ in groups)
        return Seen.of(
            labels,
            sum(s for _, s in groups),
            sum(n * n for n, _ in groups),
            sum(n * s for n, s in groups),
            sum(s * s for _, s in groups),
            labels,
        )


def holdout_of(application: Application) -> dict[str, Any] | None:
    """Return the gain as it stands, as JSON values; None where nobody is held out."""
    if not application.holdout_share:
        return None
    rows = ExperimentHealth.objects.filter(application=application)
    return Holdout(rows.values_list("holdout", flat=True).first() or {}).described()
