"""Channels: made, changed, and spoken to by mail, a chat's webhook, or a signed webhook."""

import asyncio
import base64
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from django.db import transaction

from core.errors import BadRequest, Conflict
from registry.models import AuditEntry
from registry.security.sealing import seal, unseal
from registry.services import record_done
from registry.services.actor import Actor
from registry.services.row_writes import check_changeable, checked, save_new
from serving.alerts.models import Channel, Message
from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.remote.client import HttpClient, ServerSecret
from serving.container.remote.configuration import Place, RemoteConfiguration
from serving.container.remote.failures import AnsweredError, HostRefused
from serving.container.remote.hosts import AllowedHosts

# A receiver that takes longer is asked again later.
TIMEOUT_S = 15.0
LARGEST_BODY = 20_000
Action = AuditEntry.Action


class ChannelGone(Exception):
    """The receiver answered 410: it wants nothing more."""


def create_channel(*, name: str, kind: str, target: str, by: Actor) -> tuple[Channel, str]:
    """Return a new channel, and the secret of a signed one. Raises BadRequest, Conflict."""
    signed = kind == Channel.Kind.WEBHOOK
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}" if signed else ""
    channel = Channel(name=name, kind=kind, created_by=by.label, secret=seal(secret))
    aim(channel, target=target)
    checked(channel, unique=False)
    with transaction.atomic():
        save_new(channel, conflict=Conflict(f"There is a channel {name} already.", channel=name))
        record_done(channel, by=by, action=Action.CREATE, changes={"target": [None, channel.shown]})
    return channel, secret


def update_channel(channel: Channel, *, changes: Mapping[str, Any], by: Actor) -> None:
    """Change the name, the target or whether it is enabled. Raises BadRequest, Conflict."""
    check_changeable(changes, fields=("name", "target", "enabled"))
    before = {"name": channel.name, "target": channel.shown, "enabled": channel.enabled}
    channel.name, channel.enabled = changes.get("name", channel.name), changes.get("enabled", True)
    channel.problem = "" if channel.enabled else channel.problem
    if "target" in changes:
        aim(channel, target=changes["target"])
    checked(channel, unique=False)
    after = {"name": channel.name, "target": channel.shown, "enabled": channel.enabled}
    changed = {name: [old, after[name]] for name, old in before.items() if old != after[name]}
    with transaction.atomic():
        taken = Conflict(f"There is a channel {channel.name} already.", channel=channel.name)
        save_new(channel, conflict=taken)
        record_done(channel, by=by, action=Action.CHANGE, changes=changed)


def delete_channel(channel: Channel, *, by: Actor) -> None:
    with transaction.atomic():
        record_done(channel, by=by, action=Action.DELETE, changes={"target": [channel.shown, None]})
        channel.delete()


def allowed_hosts() -> AllowedHosts:
    return AllowedHosts.parse(settings.CLIPPER_ALERT_HOSTS, setting="CLIPPER_ALERT_HOSTS")


def aim(channel: Channel, *, target: str) -> None:
    """Set where a channel leads, unsaved. Raises BadRequest."""
    if channel.kind == Channel.Kind.MAIL:
        addresses = [part.strip() for part in target.split(",")]
        try:
            for address in addresses:
                validate_email(address)
        except ValidationError:
            raise BadRequest("target: Expected mail addresses, separated by commas.") from None
        if not settings.EMAIL_HOST:
            raise BadRequest("Mail needs a server: set EMAIL_HOST and start the stack again.")
        channel.shown = ", ".join(addresses)[:300]
    else:
        try:
            given = {"url": target, "protocol": "json", "template": "$inputs"}
            place = RemoteConfiguration.parse(given).place
            allowed_hosts().check_now(place.host, port=place.port)
        except (ArtifactInvalid, HostRefused) as error:
            raise BadRequest(f"target: {error}") from None
        # The rest of it is often a secret.
        channel.shown = f"{'https' if place.secure else 'http'}://{place.netloc}/…"
    channel.target = seal(target)


async def send(message: Message) -> None:
    """Send one message. Raises ChannelGone, or whatever else went wrong."""
    channel, target = message.channel, unseal(message.channel.target)
    if channel.kind == Channel.Kind.MAIL:
        await asyncio.wait_for(asyncio.to_thread(_mail, message, target), TIMEOUT_S)
        return
    headers: Mapping[str, str] = {}
    if channel.kind == Channel.Kind.WEBHOOK:
        body = _signed_body(message)
        headers = _signature(message.uid, body, secret=unseal(channel.secret))
    else:
        body = json.dumps({"text": text_of(message)})
    place = Place.of(target)
    client = HttpClient(place, hosts=allowed_hosts(), secret=ServerSecret(), concurrency=1)
    deadline = asyncio.get_running_loop().time() + TIMEOUT_S
    try:
        await client.ask(
            place.path, deadline=deadline, body=body.encode(), headers=headers, most=64 << 10
        )
    except AnsweredError as error:
        raise (ChannelGone(str(error)) if error.status == 410 else error) from None
    finally:
        client.close()


def text_of(message: Message) -> str:
    """Return a message as people read it."""
    lines = [_line(event) for event in message.events[:20]]
    if (more := len(message.events) - len(lines)) > 0:
        lines.append(f"… and {more} more.")
    return "\n\n".join(lines)


def _line(event: Mapping[str, Any]) -> str:
    where = f"{event['application']}: " if event["application"] else ""
    lines = [f"[{event['state']}] {where}{event['title']}", event["sentence"][:500]]
    if event.get("suspect"):
        lines.append(f"Suspect: {event['suspect']}")
    if event["state"] == "firing":
        lines.append(event["what_to_do"])
    return "\n".join(lines)


def _mail(message: Message, addresses: str) -> None:
    number, first = len(message.events), message.events[0]
    title = _line(first).partition("\n")[0] + (f" and {number - 1} more" if number > 1 else "")
    EmailMessage(
        f"Clipper: {title}",
        text_of(message),
        to=[address.strip() for address in addresses.split(",")],
        headers={"Message-ID": f"<{message.uid}@clipper>"},
    ).send()


def _signed_body(message: Message) -> str:
    """Return the same body at each try; alerts that would make it too large are only counted."""
    shown = list(message.events)
    while True:
        data = {"alerts": shown, "more": len(message.events) - len(shown)}
        kind = "test" if message.is_test else "alerts"
        body = json.dumps({"type": kind, "timestamp": message.created_at.isoformat(), "data": data})
        if len(body) <= LARGEST_BODY or len(shown) < 2:
            return body
        shown = shown[: len(shown) // 2]


def _signature(uid: str, body: str, *, secret: str) -> Mapping[str, str]:
    from standardwebhooks import Webhook

    at = datetime.now(tz=UTC)
    return {
        "webhook-id": uid,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(uid, at, body),
    }
