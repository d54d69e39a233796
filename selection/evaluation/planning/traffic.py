"""An application's labels of the last days, as a plan wants them: how many, how good, how alike."""

import math
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from core.specs import ApplicationSpec
from selection.evaluation.logged import answer_rule_of
from selection.evaluation.planning.sample_size import Floats, LabelTraffic
from selection.evaluation.what_if.feedback_span import KeptFeedback, Span, kept_feedback
from selection.kinds import INPUT
from selection.models import Feedback

Numbers = npt.NDArray[np.intp]

# As far back as traffic is measured, and the labels that are looked at closely.
MEASURED = timedelta(days=7)
ROWS = 4000


def traffic_of(application: ApplicationSpec, *, now: datetime) -> LabelTraffic | None:
    """Return the traffic of the last seven days; None without a label of a single arm."""
    span = Span(rows=ROWS, since=now - MEASURED)
    kept = kept_feedback(application.id, span=span, rule=answer_rule_of(application))
    if kept.since is None or not kept.queries:
        return None
    rows = Feedback.objects.filter(
        application_id=application.id, forced=False, received_at__gte=now - MEASURED
    ).exclude(kind=INPUT)
    count, first = rows.count(), rows.order_by("received_at").first()
    began = kept.since if first is None else first.received_at
    # Less than an hour tells little of a day.
    days = max((now - began) / timedelta(days=1), 1.0 / 24.0)
    looked_at = max((now - kept.since) / timedelta(days=1), 1.0 / 24.0)
    return _measured(kept, count=count, labels_per_day=count / days, days=looked_at)


def _measured(
    kept: KeptFeedback, *, count: int, labels_per_day: float, days: float
) -> LabelTraffic:
    # One arm of each query, every arm in its turn.
    asked = [query.asked[i % len(query.asked)] for i, query in enumerate(kept.queries)]
    rewards = np.array([entry.reward for entry in asked])
    people = _numbered(
        [query.key or query.context or f"\0{i}" for i, query in enumerate(kept.queries)]
    )
    arms = _numbered([entry.arm for entry in asked])
    left = rewards - (np.bincount(arms, rewards) / np.bincount(arms))[arms]
    # Half a reward of either kind more: neither is certain, whatever was seen.
    mean = (float(np.sum(rewards)) + 0.5) / (len(rewards) + 1.0)
    of_two = mean * (1.0 - mean)
    others, lately = _others(people), _others(people[len(people) // 2 :])
    # Over twice the time a person gives twice as many if the same ones come back.
    growth = min(max(math.log2(others / lately), 0.0), 1.0) if lately else 1.0
    return LabelTraffic(
        labels_per_day=labels_per_day,
        mean=mean,
        # Rewards all alike have not shown how much they vary: one more is as unlike as can be.
        spread=min((float(np.sum(left**2)) + 0.25) / (len(rewards) * of_two + 0.25), 1.0),
        likeness=_likeness(left, people=people),
        others=others / days**growth,
        growth=growth,
        # As labels come, those looked at are not all that count.
        past=0.0 if np.any(arms) else (1.0 + others) * count / len(rewards),
    )


def _numbered(names: list[str]) -> Numbers:
    return np.unique(names, return_inverse=True)[1]


def _others(people: Numbers) -> float:
    """Return how many other labels there are of a label's person, on average."""
    return float(np.sum(np.bincount(people) ** 2) / len(people) - 1.0)


def _likeness(left: Floats, *, people: Numbers) -> float:
    """Return the correlation of two labels of one person, given what is `left` of each."""
    sums, counts = np.bincount(people, left), np.bincount(people)
    pairs, variance = float(np.sum(counts * (counts - 1.0))), float(np.mean(left**2))
    if not pairs or not variance:
        return 0.0
    together = float(np.sum(sums**2) - np.sum(left**2)) / pairs
    return min(max(together / variance, 0.0), 1.0)
