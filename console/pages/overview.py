"""The hub's first tab: how an application does now, its flow, and what needs somebody."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from console.access import VIEW, application_for, may, shared, tab_of
from console.live.model_load import load_of
from console.live.model_rows import ALARMING, Sources, model_rows, read_sources
from console.pages.new_application import steps
from console.pages.objective import TIMES, exact
from console.pages.traffic_series import PERIODS, chosen_period
from console.words import formats
from console.words.colours import version_colour
from console.words.events import events_of
from console.words.experiment_health import health_shown
from console.words.standing import standing
from console.words.tile import Tile
from console.words.verdict import verdict_of
from registry.api.views.timeline_view import entries_for
from registry.following.reading import build_snapshot
from registry.models import Application, ModelVersion, Rollout, VersionCheck
from registry.services import words_of
from selection.evaluation.monitoring.history import history
from selection.evaluation.monitoring.reward_sums import RewardSums, add
from selection.models import SelectionSnapshot
from selection.store.redis_keys import REDIS_ERRORS
from serving.alerts.alert_rules import rule_of
from serving.alerts.models import Alert
from serving.capture.models import CapturedInput
from serving.traffic.history import Point, totals
from serving.traffic.objective import Attainment, attained

TIMELINE = "registry.view_auditentry"
LATELY = 5


class Need(NamedTuple):
    """Something that waits for a person, and where they can do it."""

    text: str
    why: str
    title: str
    url: str
    state: str = ""


@shared
def overview(request: HttpRequest, name: str) -> HttpResponse:
    """Show the tab, or for `?part=now` what of it is brought up to date."""
    application, part = application_for(request, name, VIEW), request.GET.get("part")
    context: dict[str, Any] = {
        **_now_shown(request, application),
        "periods": PERIODS,
        "chosen": chosen_period(request),
        "may_roll_back": may(request, "registry.roll_back_model"),
    }
    if part != "now" and may(request, TIMELINE):
        context["events"] = events_of(application, rows=entries_for(request), limit=LATELY)
    template = f"overview/{'now' if part == 'now' else 'page'}"
    return tab_of(request, application, template, title=str(application), **context)


def _now_shown(request: HttpRequest, application: Application) -> dict[str, Any]:
    now = timezone.now()
    minute = totals(application, since=now - timedelta(minutes=1), until=now)
    own, hour = attained(application, now=now), attained(application, now=now, window="1h")
    alerts = Alert.objects.firing().filter(application=application).select_related("application")
    firing = [alert for alert in alerts if not alert.is_muted(now)]
    latest = history(application, since=now, until=now)
    snapshot = build_snapshot()
    sources = read_sources(snapshot)
    routed = [arm for arm in latest["arms"] if arm["routed"]]
    live = [route.model.live_version_id is not None for route in application.routes.all()]
    state, words = standing(firing, own=own, hour=hour, live=live)
    asked = {route.model.name for route in application.routes.all()}
    rows = [row for row in model_rows(snapshot, sources=sources) if row["name"] in asked]
    return {
        "standing": {"state": state, "words": words},
        "problem": sources.problem,
        "tiles": [
            _speed(minute, slo_ms=application.slo.latency_ms),
            _objective(own, hour=hour),
            _quality(application, recommendation=latest["recommendation"]),
            _load(routed, sources=sources),
        ],
        "flow": _flow(application, arms=routed, minute=minute, models=rows),
        "needs": [*_needs(request, application, firing=firing)],
    }


# --- tiles ----------------------------------------------------------------------------------------


def _speed(minute: Point, *, slo_ms: float) -> Tile:
    p99 = minute.counts.quantile_ms(0.99)
    state = "late" if p99 is not None and p99 > slo_ms else ""
    times = f"p99 {formats.milliseconds(p99)} of {formats.milliseconds(slo_ms)}"
    return Tile("Now", f"{formats.rate(minute.rate)} /s", (times,), state=state)


def _objective(own: Attainment, *, hour: Attainment) -> Tile:
    burns = (
        ""
        if hour.burn_rate is None
        else f"burn rate {formats.mean(hour.burn_rate)} {TIMES} in the last hour"
    )
    left = own.budget_left
    rest = "no queries yet" if left is None else f"{formats.signed(left * 100)} % of budget left"
    state = "" if own.share is None else "good" if own.kept else "stopped"
    return Tile("Objective", exact(own.share), (rest.lstrip("+"), burns), "objective", state)


def _quality(application: Application, *, recommendation: Mapping[str, Any] | None) -> Tile:
    day = SelectionSnapshot.objects.filter(
        application=application, at__gt=timezone.now() - timedelta(days=1)
    )
    earned = add(RewardSums(*sums) for sums in day.values_list("earned", flat=True))
    labels = f"right, by {formats.count(int(earned.number))} labels in a day"
    verdict = verdict_of(application, recommendation)
    rests_on = (
        labels if earned.number else "no labels in a day",
        verdict.sentence if verdict else "",
    )
    return Tile("Quality", formats.percent(earned.mean), rests_on, "experiment")


def _load(arms: Sequence[Mapping[str, Any]], *, sources: Sources) -> Tile:
    """Return the versions' load, which other applications may be part of."""
    names = [f"{arm['model']}:{arm['version']}" for arm in arms]
    loads = [load for arm in names if (load := load_of(arm, documents=sources.documents))]
    calls = sum(load.rate for load in loads)
    hits = sum(load.rate * (load.hit_ratio or 0.0) for load in loads)
    sizes = [load.batch_size for load in loads if load.batch_size is not None]
    batches = f"batches of {formats.mean(sum(sizes) / len(sizes))}" if sizes else "no batches"
    waiting = f"{formats.count(sum(load.waiting for load in loads))} waiting"
    return Tile(
        "Load", formats.share(hits / calls if calls else None), ("from cache", batches, waiting)
    )


# --- flow -----------------------------------------------------------------------------------------


def _flow(
    application: Application,
    *,
    arms: Sequence[Mapping[str, Any]],
    minute: Point,
    models: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    by_version = {(row["name"], row["text"]["version"]): row for row in models}
    counts = minute.counts
    instead = counts.failed + counts.refused + counts.no_replica + counts.abstained
    total = counts.total
    return {
        "rate": formats.rate(minute.rate),
        "in_time": formats.share(counts.good / total if total else None),
        "default": application.default_output,
        "defaults": formats.share((instead + counts.late) / total if total else None),
        "causes": formats.listed(
            *(
                f"{number:,} {cause.replace('_', ' ')}"
                for cause, number in {
                    **counts.bad_by_cause(),
                    "abstained": counts.abstained,
                }.items()
                if number
            )
        ),
        "arms": [
            _arm(arm, row=by_version.get((arm["model"], arm["version"])), minute=minute)
            for arm in arms
        ],
    }


def _arm(arm: Mapping[str, Any], *, row: Mapping[str, Any] | None, minute: Point) -> dict[str, Any]:
    name, found = f"{arm['model']}:{arm['version']}", arm["reward"]
    asked = minute.versions.get(name)
    interval = found and formats.interval((found["value"], found["low"], found["high"]))
    return {
        "name": name,
        "model": arm["model"],
        "colour": version_colour(name),
        "percent": round((arm["weight"] or 0.0) * 100, 1),
        "trust": formats.share(arm["weight"]),
        "right": formats.percent(found and found["value"]),
        "interval": interval or "",
        "rate": f"{formats.rate(asked.total / minute.seconds)} /s" if asked else formats.NOTHING,
        "row": row,
        "alarming": row is not None and row["state"] in ALARMING,
    }


# --- what needs somebody --------------------------------------------------------------------------


def _needs(
    request: HttpRequest, application: Application, *, firing: Sequence[Alert]
) -> Iterator[Need]:
    alerts = f"{reverse('console-alerts')}?application={application.name}"
    page = "console-application-page"
    if may(request, "alerts.view_alert"):
        for alert in firing:
            title = formats.listed(rule_of(alert.rule).title, alert.subject)
            yield Need(title, alert.sentence, "Open alerts", alerts, "failed")
    rollouts = Rollout.objects.open().filter(model__routes__application=application)
    for rollout in rollouts.with_release().distinct():
        url = reverse("admin:registry_release_change", args=[rollout.release_id])
        state = "failed" if rollout.state == Rollout.State.HELD else ""
        title = f"{rollout.release.arm}: {words_of(rollout)}"
        why = rollout.reason or rollout.evidence.get("waits") or f"By the plan {rollout.plan_name}."
        yield Need(title, why, "Open release", url, state)
    if unsound := health_shown(application)["unhealthy"]:
        url = reverse(page, args=[application.name, "experiment"]) + "#health"
        yield Need("The experiment may mislead", unsound, "Open experiment", url, "failed")
    asked = ModelVersion.objects.filter(model__routes__application=application)
    newest = asked.values("model").annotate(newest=Max("pk")).values("newest")
    failed = VersionCheck.objects.filter(version__in=newest, state=VersionCheck.State.FAILED)
    for check in failed.select_related("version__model"):
        url = reverse("admin:registry_modelversion_change", args=[check.version_id])
        why = check.error.partition("\n")[0]
        yield Need(f"{check.version} failed its check", why, "Open version", url, "failed")
    if may(request, "capture.view_capturedinput"):
        waiting = CapturedInput.objects.filter(application=application, reviewed_at=None).count()
        if waiting:
            url = reverse(page, args=[application.name, "review"])
            text = f"{formats.count(waiting)} captured inputs wait for review"
            yield Need(text, "Labels teach it which versions to trust.", "Review", url)
    left = _steps_left(application)
    if left:
        url = reverse("console-start", args=[application.name])
        yield Need("First steps", "; ".join(left), "Go on", url)


def _steps_left(application: Application) -> list[str]:
    try:
        return [step.title for step in steps(application) if not step.is_done]
    except REDIS_ERRORS:
        return []  # the page says that Redis is away
