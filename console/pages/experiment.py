"""The tab on an application's experiment: one verdict, its versions, and what others would earn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from console.access import VIEW, application_for, may, shared, tab_of
from console.pages.traffic_series import PERIODS, Period, chosen_period
from console.pages.what_if_form import WhatIfForm
from console.words import formats
from console.words.colours import version_colour
from console.words.experiment_health import health_shown
from console.words.tile import Tile
from console.words.verdict import KEPT_S, ExperimentVerdict, judged, pictured, verdict_of
from core.errors import ClipperError
from registry.following.reading import application_spec
from registry.models import Application
from selection.evaluation.health.guardrails import ANSWERED
from selection.evaluation.monitoring.history import history
from selection.evaluation.what_if.feedback_span import Span

if TYPE_CHECKING:
    from selection.evaluation.what_if.evaluation import Outlook, Result

FEEDBACK = "selection.view_feedback"

# A verdict on a target's feedback, as badges show it, and in words.
ENOUGH = {
    "enough": ("live", "yes"),
    "little": ("starting", "not yet"),
    "apart": ("starting", "not comparable"),
    "none": ("", "unknown"),
}
METHODS = {"direct": "seen directly", "doubly_robust": "doubly robust"}


@shared
def experiment(request: HttpRequest, name: str) -> HttpResponse:
    """Show the tab, or with `?part=` the piece of it that its page asks for by itself."""
    application = application_for(request, name, VIEW)
    part = request.GET.get("part", "")
    chosen = chosen_period(request)
    context: dict[str, Any] = {
        "periods": PERIODS,
        "chosen": chosen,
        "may_look": may(request, FEEDBACK),
        "may_apply": may(request, "registry.change_application"),
    }
    if part != "outlook":
        context |= now_shown(application, chosen=chosen)
    if part != "now" and context["may_look"]:
        context |= _outlook(request, application, looked=part == "outlook")
        context["verdict"] = context.get("found") or context.get("verdict")
    template = f"experiment/{part if part in ('now', 'outlook') else 'page'}"
    return tab_of(request, application, template, title=f"{application}: experiment", **context)


# --- how it stands now ----------------------------------------------------------------------------


def now_shown(application: Application, *, chosen: Period) -> dict[str, Any]:
    """Return what is known of the versions in this period."""
    now = timezone.now()
    past = history(application, since=now - chosen.length, until=now)
    health = health_shown(application)
    found = {(one["metric"], one["version"]): one for one in health["guardrails"]}
    # In time is a column of its own.
    metrics = list(dict.fromkeys(metric for metric, _ in found if metric != ANSWERED))
    tolerated = 1.0 - application.slo.target
    pictures = pictured([arm["reward"] for arm in past["arms"]])
    versions = [
        {
            **version_shown(arm, tolerated=tolerated, picture=picture),
            "metrics": [
                (metric, found.get((metric, f"{arm['model']}:{arm['version']}")))
                for metric in metrics
            ],
        }
        for arm, picture in zip(past["arms"], pictures, strict=True)
    ]
    return {
        "tiles": _tiles(past),
        "policy": past["policy"],
        "verdict": verdict_of(application, past["recommendation"]),
        "versions": versions,
        "metrics": metrics,
        **health,
    }


def _tiles(past: Mapping[str, Any]) -> list[Tile]:
    sums = {
        name: sum(arm[name] for arm in past["arms"])
        for name in ("asked", "answered", "late", "failed", "refused", "routed")
    }
    missed = f"{formats.count(sums['late'])} late, {formats.count(sums['failed'])} failed"
    refused = f"{formats.count(sums['refused'])} refused" if sums["refused"] else ""
    labels = f"mean of {formats.count(past['feedback'])} labels"
    earned = (labels if past["feedback"] else "no feedback yet", holdout_words(past["holdout"]))
    versions = f"to {sums['routed']} version{'' if sums['routed'] == 1 else 's'}"
    in_time = _in_time(sums["answered"], missed=sums["late"] + sums["failed"])
    return [
        Tile("Reward earned", formats.percent(past["mean_earned"]), earned),
        Tile("Queries asked", formats.count(sums["asked"]), (versions,)),
        Tile("Answered in time", in_time, (formats.listed(missed, refused),)),
    ]


def holdout_words(found: Mapping[str, Any] | None) -> str:
    """Return the policy's gain over the keys held out of it in words; empty without any."""
    if found is None:
        return ""
    if found["gain"] is None:
        return "too few people to compare with held-out keys"
    gain = tuple(found["gain"].values())
    more = f"{abs(gain[0]) * 100.0:.1f} points {'less' if gain[0] < 0.0 else 'more'}"
    return f"{more} than held-out keys ({formats.points_interval(gain)})"


def version_shown(
    arm: Mapping[str, Any], *, tolerated: float, picture: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Return a row of the table; a share of `tolerated` queries may be missed."""
    # Refused inputs are no fault of its own if every other version refuses them too, and the
    # counts don't tell: they are shown, and have no part in how the version stands.
    answered, missed, reward = arm["answered"], arm["late"] + arm["failed"], arm["reward"]
    name = f"{arm['model']}:{arm['version']}"
    return {
        "name": name,
        "colour": version_colour(name),
        "state": "late" if missed > tolerated * (answered + missed) else "good",
        "percent": round((arm["weight"] or 0.0) * 100, 1),
        "picture": picture,
        "note": "" if arm["routed"] else "no longer routed",
        "trust": formats.share(arm["weight"]),
        "asked": formats.count(arm["asked"]),
        "share": formats.share(arm["share"]),
        "in_time": _in_time(answered, missed=missed),
        "late": formats.count(arm["late"]),
        "failed": formats.count(arm["failed"]),
        "refused": formats.count(arm["refused"]),
        "reward": formats.percent(arm["mean_reward"]),
        "labels": formats.count(arm["feedback"]),
        "interval": formats.interval(reward and (reward["value"], reward["low"], reward["high"])),
    }


def _in_time(answered: int, *, missed: int) -> str:
    """Return the share answered in time of the queries that weren't refused."""
    judged_queries = answered + missed
    return formats.share(answered / judged_queries if judged_queries else None)


# --- what others would have earned ----------------------------------------------------------------


def _outlook(request: HttpRequest, application: Application, *, looked: bool) -> dict[str, Any]:
    form = WhatIfForm(request.GET, application=application_spec(application))
    if not looked and form.is_usual:
        return {"form": form}

    def found() -> dict[str, Any]:
        return _looked(application, form)

    if form.is_usual:
        # It takes seconds, and every page that is open asks.
        # A change asks anew, and so does another application in the place of a deleted one.
        asked = f"outlook:{application.pk}:{application.updated_at.timestamp()}"
        kept = cache.get_or_set(asked, found, KEPT_S)
        return {"form": form, **(kept or {})}
    return {"form": form, **found()}


def _looked(application: Application, form: WhatIfForm) -> dict[str, Any]:
    valid = form.is_valid()
    target = form.target() if valid else None
    # NumPy only if somebody asks.
    from selection.evaluation.what_if.evaluation import what_if

    try:
        outlook = what_if(
            application,
            span=form.span(now=timezone.now()) if valid else Span(),
            targets=[target] if target else [],
        )
    except ClipperError as error:
        return {"problem": error.message}
    verdict = _verdict(application, outlook) if form.is_usual else None
    return {"outlook": _outlook_shown(outlook, target=target), "found": verdict}


def _verdict(application: Application, outlook: Outlook) -> ExperimentVerdict | None:
    now = timezone.now()
    past = history(application, since=now, until=now)
    return judged(application, outlook, recommendation=past["recommendation"])


def _outlook_shown(outlook: Outlook, *, target: Any) -> dict[str, Any]:
    # The chosen policy may be one of those that are shown anyway.
    distinct = list({repr(result.target): result for result in outlook.results}.values())
    gains = pictured([result.gain and result.gain._asdict() for result in distinct])
    earned = outlook.earned
    return {
        "rows": [
            _target_shown(result, picture=picture, chosen=result.target == target)
            for result, picture in zip(distinct, gains, strict=True)
        ],
        "earned": formats.mean_reward(earned.value),
        "earned_interval": formats.interval(earned.value),
        "recombined": formats.count(earned.recombined) if earned.recombined else "",
        "labels": formats.count(outlook.rows),
        "since": outlook.since,
        "until": outlook.until,
        "more": outlook.more,
        "inputs": outlook.inputs,
        "whole": formats.count(outlook.whole) if outlook.whole else "",
        "seconds": f"{outlook.seconds:.1f} s",
    }


def _target_shown(
    result: Result, *, picture: Mapping[str, float] | None, chosen: bool
) -> dict[str, Any]:
    found, target = result.estimate, result.target
    state, words = ENOUGH[found.verdict]
    overlap = found.without_overlap
    return {
        "name": target.name,
        "arm": target.arm or "",
        "colour": version_colour(target.arm or ""),
        "policy": target.policy or "static",
        "params": target.params,
        "current": result.current,
        "chosen": chosen,
        "picture": picture,
        "reward": formats.mean_reward(found.best),
        "interval": formats.interval(found.best),
        "gain": formats.points(result.gain),
        "gain_interval": formats.points_interval(result.gain),
        "labels": formats.count(found.rows),
        "effective": formats.count(round(found.effective_rows)),
        "state": state,
        "enough": words,
        "why": formats.listed(
            found.explanation,
            METHODS[found.method] if found.method else "",
            f"{formats.share(overlap)} of the feedback says nothing of it"
            if overlap and found.verdict != "apart"
            else "",
        ),
    }
