"""Gain of a policy over the routes' weights, measured on the keys that are held out of it."""

from typing import Any

import msgspec

from registry.models import Application
from selection.evaluation.logged import LoggedQuery
from selection.inference import LEAST, Interval, Seen, half_width, variance_of_gain
from selection.models import ExperimentHealth
from selection.policies.arithmetic.person_sums import NOBODY, People, count
from selection.policies.arithmetic.sums import groups_of

SIDES = POLICY, HELD_OUT = "policy", "held_out"


class Holdout:
    """Sums by person of both sides, as if they were arms; `stored` as JSON values."""

    def __init__(self, stored: Any) -> None:
        self._people = msgspec.convert(stored, People, strict=False) if stored else People()

    @property
    def stored(self) -> Any:
        return msgspec.to_builtins(self._people, str_keys=True)

    def see(self, query: LoggedQuery, *, held_out: bool, reward: float) -> None:
        """Take what the answer to somebody earned; an answer to nobody is left out."""
        _, group = groups_of(query.key, context=query.context)
        if group != NOBODY and query.given:
            counts = {HELD_OUT if held_out else POLICY: (1.0, reward)}
            # Few enough groups to be written down with each snapshot.
            self._people = count(self._people, counts, routed=SIDES, group=group % 256)

    def gain(self) -> Interval | None:
        """Return how much more the policy earns than those held out; None of too few people.

        It holds at any time, as it is: both sides are of the same times.
        """
        own, held = self._seen(POLICY), self._seen(HELD_OUT)
        people = min(own.people, held.people)
        if people < LEAST:
            return None
        gain = own.mean - held.mean
        half = half_width(variance_of_gain(own, held), people=people)
        return Interval(gain, gain - half, gain + half)

    def described(self) -> dict[str, Any]:
        """Return the gain, and what it rests on, as JSON values."""
        gain = self.gain()
        described: dict[str, Any] = {"gain": None if gain is None else gain._asdict()}
        for side in SIDES:
            number, mean, people, *_ = self._seen(side)
            described[side] = {
                "feedback": round(number),
                "mean": mean if number else None,
                "people": round(people),
            }
        return described

    def _seen(self, side: str) -> Seen:
        return Seen.of(*self._people.sums.get(side, (0.0,) * 6)[:6])


def holdout_of(application: Application) -> dict[str, Any] | None:
    """Return the gain as it stands, as JSON values; None where nobody is held out."""
    if not application.holdout_share:
        return None
    rows = ExperimentHealth.objects.filter(application=application)
    return Holdout(rows.values_list("holdout", flat=True).first() or {}).described()
