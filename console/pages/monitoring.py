"""The console's page on how an application's selection goes: trust, rewards, misses."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from django.contrib import admin
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from console.access import VIEW, application_for, frame, may
from console.words import formats
from console.words.experiment_health import health_shown
from console.words.recommendation import pictured, worded
from core.errors import Forbidden, NotFound, Unauthenticated
from registry.api.error_shape import error_response
from registry.models import Application
from selection.evaluation.monitoring.history import history


class PeriodChoice(NamedTuple):
    """A period that people can choose, ending now."""

    key: str
    label: str
    length: timedelta


CHOICES = (
    PeriodChoice("15m", "15 min", timedelta(minutes=15)),
    PeriodChoice("1h", "1 hour", timedelta(hours=1)),
    PeriodChoice("6h", "6 hours", timedelta(hours=6)),
    PeriodChoice("1d", "1 day", timedelta(days=1)),
    PeriodChoice("7d", "7 days", timedelta(days=7)),
    PeriodChoice("30d", "30 days", timedelta(days=30)),
)
USUAL = CHOICES[1]


def monitoring(request: HttpRequest, name: str) -> HttpResponse:
    """Show the page, complete but for its charts, which its script draws and keeps up to date."""
    application = application_for(request, name, VIEW)
    chosen = chosen_period(request)
    context = {
        **frame(request, application, title=f"{application}: monitoring"),
        "periods": CHOICES,
        "chosen": chosen,
        "picture": picture(application, chosen=chosen),
        # A simulation of 0.2 s.
        "plan": cache.get_or_set(f"plan:{application.pk}", lambda: _plan(application), 60),
    }
    return TemplateResponse(request, "console/monitoring.html", context)


def _plan(application: Application) -> str:
    """Return what an A/B test of two weeks would show; empty without traffic."""
    # NumPy only where it is asked for.
    from selection.evaluation.planning.experiment_plan import plan_of

    plan = plan_of(application, gain=None, days=(14.0,), now=timezone.now())
    return plan["explanation"] if plan["traffic"] else ""


def monitoring_json(request: HttpRequest, name: str) -> HttpResponse:
    """Answer the page's script."""
    if not admin.site.has_permission(request):
        return error_response(Unauthenticated("Sign in to the console first."))
    if not may(request, VIEW):
        return error_response(Forbidden("No permission to view applications."))
    application = Application.objects.with_everything().filter(name=name).first()
    if application is None:
        return error_response(NotFound(f"There is no application named {name!r}."))
    response = JsonResponse(picture(application, chosen=chosen_period(request)))
    response["Cache-Control"] = "no-store"
    return response


def chosen_period(request: HttpRequest) -> PeriodChoice:
    """Return the period of the URL; one that there isn't counts as the usual one."""
    return next((c for c in CHOICES if c.key == request.GET.get("period")), USUAL)


def picture(application: Application, *, chosen: PeriodChoice) -> dict[str, Any]:
    """Return all that the page shows, as JSON values."""
    now = timezone.now()
    past = history(application, since=now - chosen.length, until=now)
    tolerated = 1.0 - application.slo.target
    return {
        "since": past["since"],
        "until": past["until"],
        "step_s": past["step_s"],
        "points": past["points"],
        "summary": {"text": _summary(past)},
        **health_shown(application),
        "arms": [
            arm_shown(arm, tolerated=tolerated, picture=interval)
            for arm, interval in zip(
                past["arms"], pictured([arm["reward"] for arm in past["arms"]]), strict=True
            )
        ],
    }


def _summary(past: Mapping[str, Any]) -> dict[str, str]:
    asked = sum(arm["asked"] for arm in past["arms"])
    answered = sum(arm["answered"] for arm in past["arms"])
    late, failed, refused = (
        sum(arm[name] for arm in past["arms"]) for name in ("late", "failed", "refused")
    )
    routed = sum(arm["routed"] for arm in past["arms"])
    return {
        "policy": past["policy"],
        **worded(past["recommendation"]),
        "earned": formats.percent(past["mean_earned"]),
        "holdout": holdout_words(past["holdout"]),
        "feedback": f"mean of {formats.count(past['feedback'])} rewards"
        if past["feedback"]
        else "no feedback yet",
        "asked": formats.count(asked),
        "arms": f"to {routed} arm{'' if routed == 1 else 's'}",
        "in_time": _in_time(answered, missed=late + failed),
        "missed": f"{formats.count(late)} late, {formats.count(failed)} failed"
        + (f", {formats.count(refused)} refused" if refused else ""),
    }


def holdout_words(found: Mapping[str, Any] | None) -> str:
    """Return the policy's gain over the keys held out of it in words; empty without any."""
    if found is None:
        return ""
    if found["gain"] is None:
        return "too few people to compare with held-out keys"
    gain = tuple(found["gain"].values())
    more = f"{abs(gain[0]) * 100.0:.1f} points {'less' if gain[0] < 0.0 else 'more'}"
    return f"{more} than held-out keys ({formats.points_interval(gain)})"


def arm_shown(
    arm: Mapping[str, Any], *, tolerated: float, picture: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Return a row of the table; a share of `tolerated` calls may be missed."""
    # Refused inputs are no fault of its own if every other arm refuses them too, and the counts
    # don't tell: it is shown, and has no part in how the arm stands.
    answered, missed, reward = arm["answered"], arm["late"] + arm["failed"], arm["reward"]
    return {
        "arm": f"{arm['model']}:{arm['version']}",
        "state": "late" if missed > tolerated * (answered + missed) else "good",
        "percent": round((arm["weight"] or 0.0) * 100, 1),
        "interval": picture,
        "text": {
            "note": "" if arm["routed"] else "no longer routed",
            "weight": formats.share(arm["weight"]),
            "chance": formats.share(arm["probability"]),
            "asked": formats.count(arm["asked"]),
            "share": formats.share(arm["share"]),
            "in_time": _in_time(answered, missed=missed),
            "late": formats.count(arm["late"]),
            "failed": formats.count(arm["failed"]),
            "refused": formats.count(arm["refused"]),
            "reward": formats.percent(arm["mean_reward"]),
            "feedback": formats.count(arm["feedback"]),
            "interval": formats.interval(
                reward and (reward["value"], reward["low"], reward["high"])
            )
            or formats.NOTHING,
        },
    }


def _in_time(answered: int, *, missed: int) -> str:
    """Return the share answered in time of the calls that weren't refused."""
    judged = answered + missed
    return formats.share(answered / judged if judged else None)
