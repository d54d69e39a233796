"""States of alerts: pending, firing, resolved; each step is recorded and told to the channels."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Q
from django.utils.timezone import now as clock

from core.errors import BadRequest
from registry.models import AuditEntry, Route
from registry.services import record_done, record_event
from registry.services.actor import Actor
from serving.alerts.alert_rules import RULES, Facts, Rule, Symptom, rule_of
from serving.alerts.models import Alert
from serving.alerts.outbox import queue_messages

# Changes this long before an alert may be its cause.
SUSPECT_WITHIN = timedelta(minutes=30)
LONGEST_MUTE = timedelta(days=90)
# The numbers in the sentence of a firing alert are renewed this often.
RENEWED_EVERY = timedelta(seconds=10)
Action, State = AuditEntry.Action, Alert.State
BY_ITSELF = (
    *(Action.FIRE, Action.RESOLVE, Action.SCALE, Action.CRASH, Action.PRUNE, Action.FAIL),
    *(Action.CHECK, Action.MOVE),
)

Key = tuple[int | None, str, str]


def settle(facts: Iterable[Facts]) -> list[Alert]:
    """Ask the rules about these facts, move alerts on; return those that fired or were resolved."""
    facts, now = list(facts), clock()
    rows = {alert.key: alert for alert in Alert.objects.open().select_related("application")}
    found = _findings(facts, open_alerts=rows)
    looked_at = {each.id for each in facts}
    touched = [key for key in {**found, **rows} if key[0] in looked_at]
    if not touched:
        return []
    with transaction.atomic():
        for key in touched:
            rows[key] = rows.get(key) or _begun(key, now=now)
        changed = [rows[key] for key in touched if _moved(rows[key], found.get(key), now=now)]
        queue_messages([alert for alert in changed if not alert.is_muted(now)], now=now)
    return changed


def _findings(facts: Iterable[Facts], *, open_alerts: Iterable[Key]) -> dict[Key, Symptom]:
    """Return what the rules find; of rules that others inhibit only what stands already."""
    found = {
        (each.id, name, finding.subject[:160]): finding
        for each in facts
        for name, rule in RULES.items()
        if isinstance(each, rule.about)
        for finding in rule.check(each)
    }
    places = {(place, name) for place, name, _ in found}
    return {
        key: finding
        for key, finding in found.items()
        if key in open_alerts
        or not any((key[0], other) in places for other in RULES[key[1]].unless)
    }


def step(alert: Alert, *, found: bool, rule: Rule, now: datetime) -> str:
    """Move an alert on in time; return its new state, "" if it stays in the one that it has."""
    if found:
        alert.cleared_at = None
        if alert.state == State.PENDING and now - alert.since >= timedelta(seconds=rule.for_s):
            alert.state, alert.fired_at = State.FIRING, now
            return State.FIRING
        return ""
    alert.cleared_at = alert.cleared_at or now
    gone_for = now - alert.cleared_at
    if alert.state == State.PENDING or gone_for >= timedelta(seconds=rule.clear_s):
        alert.state, alert.resolved_at = State.RESOLVED, now
        return State.RESOLVED
    return ""


def mute(alert: Alert, *, until: datetime | None, by: Actor) -> None:
    """Send nothing about it until then; None: from now on again. Raises BadRequest."""
    if until is not None and not clock() < until <= clock() + LONGEST_MUTE:
        raise BadRequest("muted_until: Expected a time within the next 90 days.")
    before, alert.muted_until = alert.muted_until, until
    changes = {"muted_until": [at and at.isoformat() for at in (before, until)]}
    with transaction.atomic():
        alert.save(update_fields=["muted_until"])
        record_done(alert, by=by, action=Action.CHANGE, changes=changes)


def firing_by_application() -> dict[int | None, int]:
    """Return how many alerts fire and aren't muted, by application, and of the stack by None."""
    rows = Alert.objects.firing().exclude(muted_until__gt=clock()).order_by()
    return dict(rows.values_list("application").annotate(Count("pk")))


def _begun(key: Key, *, now: datetime) -> Alert:
    place, rule, subject = key
    new = Alert(application_id=place, rule=rule, subject=subject, since=now, updated_at=now)
    # An alert that comes back stays muted.
    muted = Alert.objects.filter(rule=rule, subject=subject, muted_until__gt=now)
    new.muted_until = next((alert.muted_until for alert in muted if alert.key == key), None)
    return new


def _moved(alert: Alert, finding: Symptom | None, *, now: datetime) -> bool:
    """Move one alert and save it; return whether it fired or was resolved."""
    before = (alert.state, alert.cleared_at)
    rule = rule_of(alert.rule)
    state = step(alert, found=finding is not None, rule=rule, now=now)
    if finding and (state or alert.pk is None or now - alert.updated_at >= RENEWED_EVERY):
        alert.sentence, alert.links, alert.updated_at = finding.sentence, dict(finding.links), now
    if alert.fired_at is None and state == State.RESOLVED:
        alert.delete()
        return False
    if state == State.FIRING:
        alert.suspect = suspect_of(alert)
    if (alert.state, alert.cleared_at) != before or alert.updated_at == now:
        alert.save()
    if state:
        record_event(
            action=Action.FIRE if state == State.FIRING else Action.RESOLVE,
            kind="alert",
            name=": ".join(filter(None, (rule.title, alert.subject)))
            + (f" in {alert.application}" if alert.application else ""),
            application_id=alert.application_id,
            model_id=alert.links.get("model"),
            object_id=alert.pk,
            changes={"state": [before[0], state]},
            reason=alert.sentence,
        )
    return bool(state)


def suspect_of(alert: Alert) -> dict[str, Any]:
    """Return the newest release or change of its application in the half hour before."""
    models = Route.objects.filter(application=alert.application_id).values("model")
    entry = (
        AuditEntry.objects.filter(at__gt=alert.since - SUSPECT_WITHIN, at__lte=alert.since)
        .filter(Q(application_id=alert.application_id) | Q(model_id__in=models))
        .exclude(action__in=BY_ITSELF)
        .first()
        if alert.application_id is not None
        else None
    )
    if entry is None:
        return {}
    # A person's deploy, not that it went live.
    entry = AuditEntry.objects.filter(pk=entry.cause_id or entry.pk).first() or entry
    _, asked = entry.changes.get("asked_version", ("", ""))
    what = f"{entry.get_action_display()} of {asked}" if asked else str(entry)
    at, text = entry.at.isoformat(), f"{what} by {entry.by}"
    return {"text": text, "at": at, "model": entry.model_id, "entry": entry.pk}
