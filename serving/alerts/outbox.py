"""Messages about alerts: written with what they tell of, and sent until somebody has them."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils.timezone import now as clock

from registry.models import AuditEntry
from registry.services import record_done
from registry.services.actor import Actor
from serving.alerts.alert_rules import rule_of
from serving.alerts.channels import ChannelGone, send
from serving.alerts.models import Alert, Channel, Message

# A message waits until nothing has fired for this long, so that what fires together is one.
QUIET = timedelta(seconds=3)
LONGEST = timedelta(seconds=32)
# Waits before the next try, as the Standard Webhooks have them. The first is longer than a send.
RETRY_S = (20, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
KEPT = timedelta(days=30)
KEPT_RESOLVED = timedelta(days=90)

logger = logging.getLogger(__name__)


def queue_messages(alerts: Iterable[Alert], *, now: datetime) -> None:
    """Add to the message that each channel is about to get, or begin one; in a transaction."""
    events = [event_of(alert) for alert in alerts]
    if not events:
        return
    for channel in Channel.objects.filter(enabled=True):
        waiting = Message.objects.filter(
            channel=channel, state=Message.State.WAITING, attempts=0, is_test=False
        )
        message = waiting.filter(created_at__gt=now - LONGEST).first()
        if message is not None:
            due = min(now + QUIET, message.created_at + LONGEST)
            # One that has been taken for sending meanwhile grows no more.
            if waiting.filter(pk=message.pk).update(events=message.events + events, due_at=due):
                continue
        Message.objects.create(channel=channel, events=events, created_at=now, due_at=now + QUIET)


def queue_test(channel: Channel, *, by: Actor) -> Message:
    """Queue a test message, due at once."""
    event = {"state": "test", "application": "", "title": "Test", "severity": "test"}
    event["sentence"] = "This is a test of Clipper's alerts. Nothing is wrong."
    now = clock()
    with transaction.atomic():
        message = Message.objects.create(
            channel=channel, events=[event], is_test=True, created_at=now, due_at=now
        )
        sent = {"test": [None, message.uid]}
        record_done(channel, by=by, action=AuditEntry.Action.CHANGE, changes=sent)
    return message


def event_of(alert: Alert) -> dict[str, Any]:
    """Return what receivers are told of an alert."""
    rule = rule_of(alert.rule)
    return {
        "id": alert.pk,
        "state": alert.state,
        "application": alert.application.name if alert.application else "",
        "rule": alert.rule,
        "subject": alert.subject,
        "title": rule.title,
        "severity": rule.severity,
        "sentence": alert.sentence,
        "since": alert.since.isoformat(),
        "resolved_at": alert.resolved_at and alert.resolved_at.isoformat(),
        "what_to_do": rule.advice,
        "suspect": alert.suspect.get("text", ""),
    }


def send_due() -> int:
    """Send the messages that are due, once each; return how many went."""
    now = clock()
    due = Message.objects.filter(
        state=Message.State.WAITING, due_at__lte=now, channel__enabled=True
    ).select_related("channel")
    mine = [message for message in due.order_by("due_at")[:20] if _claim(message, now=now)]
    outcomes = asyncio.run(_send_all(mine)) if mine else []
    for message, error in zip(mine, outcomes, strict=True):
        _note(message, error=error)
    return sum(error is None for error in outcomes)


def _claim(message: Message, *, now: datetime) -> bool:
    """Take a message for one try, before which it is due again if this process dies."""
    wait = RETRY_S[min(message.attempts, len(RETRY_S) - 1)]
    taken = Message.objects.filter(
        pk=message.pk, state=Message.State.WAITING, attempts=message.attempts
    ).update(attempts=F("attempts") + 1, due_at=now + timedelta(seconds=wait))
    if taken:
        message.refresh_from_db(fields=["attempts", "due_at", "events"])
    return bool(taken)


async def _send_all(messages: Sequence[Message]) -> Sequence[BaseException | None]:
    return await asyncio.gather(*map(send, messages), return_exceptions=True)


def _note(message: Message, *, error: BaseException | None) -> None:
    """Note how a try has ended; a channel that is gone for good gets nothing more."""
    state, text = Message.State.SENT, ""
    if error is not None:
        logger.warning("message not sent channel=%s error=%s", message.channel, error)
        text = f"{type(error).__name__}: {error}"[:1000]
        over = message.is_test or message.attempts > len(RETRY_S) or isinstance(error, ChannelGone)
        state = Message.State.FAILED if over else Message.State.WAITING
    Message.objects.filter(pk=message.pk).update(
        state=state, error=text, sent_at=None if error else clock()
    )
    if isinstance(error, ChannelGone):
        Channel.objects.filter(pk=message.channel_id).update(enabled=False, problem=text)


def forget_old() -> None:
    """Delete messages and resolved alerts that nobody looks for any more."""
    now = clock()
    Message.objects.filter(created_at__lt=now - KEPT).delete()
    resolved = Alert.objects.filter(state=Alert.State.RESOLVED)
    resolved.filter(resolved_at__lt=now - KEPT_RESOLVED).delete()
