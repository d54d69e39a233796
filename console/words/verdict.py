"""The verdict on an application's versions: one sentence, its grounds, and what to apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.cache import cache
from django.utils.http import urlencode

from console.words import formats

if TYPE_CHECKING:
    from registry.models import Application
    from selection.evaluation.what_if.evaluation import Outlook, Result
    from selection.evaluation.what_if.targets import WhatIfTarget
    from selection.inference import Interval

# What the last look at an application's feedback came to is told on other pages as long as the
# look itself is kept: labels that come meanwhile change what the tab says, and so these.
KEPT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentVerdict:
    """A `sentence` and what it `rests_on`; `state` styles it.

    `policy` and `arm` are what to apply, if anything would be better than what is.
    """

    sentence: str
    rests_on: str = ""
    state: str = ""
    policy: str = ""
    arm: str = ""

    @property
    def proposal(self) -> str:
        """Return the query of the settings' review that applies it."""
        only = {"only": self.arm} if self.arm else {}
        return urlencode({"policy": self.policy, **only}) if self.policy else ""


def verdict_of(
    application: Application, recommendation: Mapping[str, Any] | None
) -> ExperimentVerdict | None:
    """Return the verdict of the last look at feedback, or of the snapshot without one."""
    seen: ExperimentVerdict | None = cache.get(_key(application.pk))
    if seen is None and recommendation is not None:
        seen = recommended(recommendation)
    return seen and _unless_applied(seen, application)


def _unless_applied(found: ExperimentVerdict, application: Application) -> ExperimentVerdict:
    """Propose nothing that is so already."""
    model = found.arm.partition(":")[0]
    if not model or not found.policy == application.policy == "static":
        return found
    asked = {route.model.name for route in application.routes.all() if route.weight > 0.0}
    if asked != {model}:
        return found
    return replace(found, sentence=f"{model} alone is asked: keep it", state="live", policy="")


def judged(
    application: Application, outlook: Outlook, *, recommendation: Mapping[str, Any] | None
) -> ExperimentVerdict | None:
    """Return the verdict on what each target would have earned, and keep it for other pages."""
    found = (
        _better(outlook)
        or _keep(outlook)
        or (None if recommendation is None else recommended(recommendation))
    )
    if found is not None:
        cache.set(_key(application.pk), found, KEPT_S)
    return found and _unless_applied(found, application)


def _key(application_id: int) -> str:
    return f"verdict:{application_id}"


def recommended(found: Mapping[str, Any]) -> ExperimentVerdict:
    """Return what a policy's recommendation says of the best version."""
    labels = f"{formats.count(found['labels'])} labels"
    if found["since"]:
        labels += f" since {formats.moment(datetime.fromisoformat(found['since']))}"
    if found["state"] == "best":
        sure = formats.sure(found["confidence"])
        return ExperimentVerdict(
            sentence=f"{found['arm']} is the best version, {sure} sure",
            rests_on=f"It took {labels}.",
            state="live",
            policy="static",
            arm=found["arm"],
        )
    leads = f"{found['arm']} leads, but no version is proved to be the best yet"
    if found["confidence"] < 0.5:
        leads = f"Too close to call: {leads}"
    reopened = found["state"] == "reopened"
    return ExperimentVerdict(
        sentence=f"Reopened, as a version has changed: {leads}" if reopened else leads,
        rests_on=f"So far {labels}.",
        state="starting" if reopened else "",
    )


def _better(outlook: Outlook) -> ExperimentVerdict | None:
    """Name what would have earned most, if all of its interval lies above what was earned."""
    more = [
        (gain, target)
        for gain, target, current in _decided(outlook.results)
        if gain.low > 0.0 and not current
    ]
    if not more:
        return None
    gain, target = max(more, key=lambda pair: pair[0].value)
    return ExperimentVerdict(
        sentence=f"{target.name} would earn {_points(gain.low, gain.high)} points more",
        rests_on=f"By {formats.count(outlook.rows)} labels, 95 % sure at any look and of all "
        "alternatives at once.",
        state="starting",
        policy=target.policy or "static",
        arm=target.arm or "",
    )


def _keep(outlook: Outlook) -> ExperimentVerdict | None:
    """Say that the policy earns more than any version alone, if it is proved of each."""
    alone = [result for result in outlook.results if result.target.arm is not None]
    gains = [(gain, target) for gain, target, _ in _decided(alone) if gain.high < 0.0]
    if len(alone) < 2 or len(gains) < len(alone):
        return None
    gain, target = max(gains, key=lambda pair: pair[0].value)
    return ExperimentVerdict(
        sentence=f"{outlook.policy} earns {_points(-gain.high, -gain.low)} points more than any "
        "version alone: keep it",
        rests_on=f"By {formats.count(outlook.rows)} labels; the best alone is {target.arm}.",
        state="live",
    )


def _decided(results: Sequence[Result]) -> list[tuple[Interval, WhatIfTarget, bool]]:
    """Return the gains that have feedback enough, with their targets, and whether it is today's."""
    return [
        (result.gain, result.target, result.current)
        for result in results
        if result.gain is not None and result.estimate.verdict == "enough"
    ]


def _points(low: float, high: float) -> str:
    return f"{100.0 * low:.1f} to {100.0 * high:.1f}"


def pictured(intervals: Sequence[Mapping[str, float] | None]) -> list[dict[str, float] | None]:
    """Return each interval's bar (`left`, `width`) and mean (`at`) in percent of a common scale.

    If the scale goes over 0, `zero` is its place.
    """
    known = [interval for interval in intervals if interval is not None]
    low = min((interval["low"] for interval in known), default=0.0)
    high = max((interval["high"] for interval in known), default=1.0)

    def part(length: float) -> float:
        return round(100.0 * length / (high - low), 1) if high > low else 0.0

    zero = {"zero": part(-low)} if low < 0.0 < high else {}
    return [
        None
        if interval is None
        else {
            "left": part(interval["low"] - low),
            "width": part(interval["high"] - interval["low"]),
            "at": part(interval["value"] - low),
            **zero,
        }
        for interval in intervals
    ]
