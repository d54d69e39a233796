"""An application's plan: the days until a gain shows at its traffic, and the gains that will."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from core.errors import BadRequest
from registry.following.reading import application_with_arms
from registry.models import Application
from selection.evaluation.planning.sample_size import (
    CHANCE,
    LabelTraffic,
    days_until_seen,
    smallest_gain,
)
from selection.evaluation.planning.traffic import traffic_of

USUAL_DAYS = (7.0, 14.0, 28.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """Numbers to plan with instead of those measured; `share` is that of a second arm."""

    labels_per_day: float | None = None
    mean: float | None = None
    people: float | None = None
    likeness: float | None = None
    share: float | None = None

    def applied(self, measured: LabelTraffic | None) -> LabelTraffic | None:
        """Return the traffic to plan with, None if there is none.

        Raises `BadRequest` if nobody knows how far labels of one person are alike.
        """
        if measured is None:
            if self.labels_per_day is None or self.mean is None:
                return None
            if self.people is not None and self.likeness is None:
                raise BadRequest(
                    "likeness: Expected a number from 0 to 1 beside people, as there are no labels "
                    "to measure it on, got none."
                )
            measured = LabelTraffic(labels_per_day=self.labels_per_day, mean=self.mean)
        given = {name: getattr(self, name) for name in ("labels_per_day", "mean", "likeness")}
        traffic = replace(measured, **{name: x for name, x in given.items() if x is not None})
        if self.people is None:
            return traffic
        return replace(traffic, others=traffic.labels_per_day / self.people, growth=1.0, past=0.0)


def plan_of(
    application: Application,
    *,
    gain: float | None,
    days: Sequence[float] = USUAL_DAYS,
    assumed: Assumptions = Assumptions(),
    now: datetime,
) -> dict[str, Any]:
    """Return the plan of a split by the routes' weights, as JSON values.

    An application with fewer than two arms is planned with a second one. Raises `BadRequest` for a
    gain that no arm can have.
    """
    spec, weights = application_with_arms(application)
    traffic = assumed.applied(traffic_of(spec, now=now))
    split = tuple(weight for weight in weights.values() if weight > 0.0)
    if assumed.share is not None:
        split = (1.0 - assumed.share, assumed.share)
    elif len(split) < 2:
        split = (0.5, 0.5)
    missing = [name for name in ("labels_per_day", "mean") if getattr(assumed, name) is None]
    plan: dict[str, Any] = {
        "application": application.name,
        "state": "no_traffic",
        "explanation": "there are no labels of the last seven days: assume "
        + " and ".join(missing),
        "gain": gain,
        "chance": CHANCE,
        "labels": None,
        "days": None,
        "smallest": [],
        "split": [share / sum(split) for share in split],
        "traffic": None,
    }
    return plan if traffic is None else plan | _planned(traffic, gain, split=split, days=days)


def _planned(
    traffic: LabelTraffic, gain: float | None, *, split: Sequence[float], days: Sequence[float]
) -> dict[str, Any]:
    # As it is shown: of a mean of 0.9 a gain of 0.1 is left.
    most = round(1.0 - traffic.mean, 4)
    if gain is not None and gain > most:
        raise BadRequest(
            f"gain: Expected at most {most:g}, as the mean reward is {traffic.mean:.4g}, "
            f"got {gain:g}."
        )
    needed = None if gain is None else days_until_seen(gain, traffic=traffic, split=split)
    labels = None if needed is None else math.ceil(needed * traffic.labels_per_day)
    smallest = [(each, smallest_gain(each, traffic=traffic, split=split)) for each in days]
    if gain is None:
        explanation = _smallest_explained(*smallest[-1], traffic=traffic, split=split)
    else:
        explanation = _needed_explained(gain, days=needed, labels=labels)
    return {
        "state": "too_small" if gain is not None and needed is None else "planned",
        "explanation": explanation,
        "labels": labels,
        "days": needed,
        "smallest": [{"days": each, "gain": found} for each, found in smallest],
        "traffic": {
            "labels_per_day": traffic.labels_per_day,
            "mean": traffic.mean,
            "variance": traffic.variance(traffic.mean),
            "labels_per_person": float(traffic.labels_per_person(days[-1])),
            "likeness": traffic.likeness,
        },
    }


def _smallest_explained(
    days: float, gain: float | None, *, traffic: LabelTraffic, split: Sequence[float]
) -> str:
    within = f"within {_period(days, digits=3)} with a chance of {CHANCE * 100.0:g} %"
    if gain is not None:
        return f"a gain of {_counted(gain * 100.0, 'point')} shows {within}"
    strangers = smallest_gain(days, traffic=replace(traffic, others=0.0), split=split)
    few = "labels" if strangers is None else "people"
    return f"no gain shows {within}, as {few} are too few"


def _needed_explained(gain: float, *, days: float | None, labels: int | None) -> str:
    text, chance = f"a gain of {_counted(gain * 100.0, 'point')} shows", f"{CHANCE * 100.0:g} %"
    if days is None:
        return f"{text} within a year with a chance below {chance}"
    return f"{text} in about {_period(days)}, or {labels:,} labels, with a chance of {chance}"


def _period(days: float, *, digits: int = 2) -> str:
    if days >= 1.0:
        return _counted(days, "day", digits=digits)
    if days >= 1.0 / 24.0:
        return _counted(days * 24.0, "hour", digits=digits)
    return _counted(max(days * 1440.0, 1.0), "minute", digits=digits)


def _counted(number: float, noun: str, *, digits: int = 2) -> str:
    """Return a rounded number with its noun: 1 point, 0.93 points, 120 days."""
    text = f"{float(f'{number:.{digits}g}'):g}"
    return f"{text} {noun}" if text == "1" else f"{text} {noun}s"
