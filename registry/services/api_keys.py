"""Creating and revoking API keys, and joining by those that are join tokens."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from core.errors import BadRequest, Conflict, Forbidden, Unauthenticated
from core.specs import FEEDBACK, JOIN, MANAGE, PREDICT, READ, SCOPES, SERVERS
from core.version import VERSION
from registry.following.recording import registry_write
from registry.models import ApiKey, Application, AuditEntry
from registry.models.api_key import PREFIX_LENGTH
from registry.services.actor import PERMISSION, Actor
from registry.services.audit_trail import audited, record_created
from registry.services.row_writes import check_changeable, checked, locked

CHANGEABLE = frozenset({"name", "expires_at"})
MOST_HOSTS = 1000


@registry_write
def create_api_key(
    *,
    name: str,
    scopes: Collection[str],
    by: Actor,
    applications: Sequence[Application] = (),
    expires_at: datetime | None = None,
    can_run_code: bool = False,
    joins: int = 1,
) -> tuple[ApiKey, str]:
    """Create a key, or a join token for so many hosts; return its row and its text, shown once."""
    unknown = sorted(set(scopes) - {*SCOPES, JOIN})
    is_token = JOIN in scopes
    mixed = len(scopes) > 1 or applications or can_run_code
    if is_token and (mixed or not 0 < joins <= MOST_HOSTS):
        raise BadRequest(
            f"Expected {JOIN} as the only right of a key, and from 1 to {MOST_HOSTS} hosts."
        )
    if is_token and expires_at is None:
        expires_at = timezone.now() + timedelta(days=1)
    if unknown:
        raise BadRequest(f"Expected scopes among {', '.join(SCOPES)}, got {', '.join(unknown)}.")
    if not scopes:
        raise BadRequest(f"Expected at least one scope among {', '.join(SCOPES)}.")
    _check_grant(scopes, run_code=can_run_code, by=by)
    _check_future(expires_at)
    for application in sorted(applications, key=lambda application: application.pk):
        locked(application)  # so that none goes meanwhile
    text = ApiKey.generate()
    key = ApiKey(
        name=name,
        prefix=text[:PREFIX_LENGTH],
        digest=ApiKey.digest_of(text),
        can_predict=PREDICT in scopes,
        can_feedback=FEEDBACK in scopes,
        can_read=READ in scopes,
        can_manage=MANAGE in scopes,
        can_run_code=can_run_code,
        joins=joins if is_token else None,
        bound=bool(applications),
        expires_at=expires_at,
        created_by=by.user,
    )
    checked(key)
    key.save()
    key.applications.set(applications)
    record_created(key, by=by)
    return key, text


@registry_write
def update_api_key(*, key: ApiKey, changes: Mapping[str, Any], by: Actor) -> ApiKey:
    """Change a key's `name` or `expires_at`. Raises Forbidden if `by` couldn't make such a key."""
    check_changeable(changes, fields=CHANGEABLE)
    current = locked(key)
    expires_at = changes.get("expires_at", current.expires_at)
    if expires_at != current.expires_at:
        _check_future(expires_at)
    lives_longer = current.expires_at is not None and (
        expires_at is None or expires_at > current.expires_at
    )
    if lives_longer:
        _check_grant(current.scopes, run_code=current.can_run_code, by=by)
    with audited(current, by=by):
        for field, value in changes.items():
            setattr(current, field, value)
        checked(current)
        current.save(update_fields=CHANGEABLE)
    return current


def _check_future(expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= timezone.now():
        raise BadRequest(f"Expected a time of expiry in the future, got {expires_at:%F %T}.")


def _check_grant(scopes: Collection[str], *, run_code: bool, by: Actor) -> None:
    if not {MANAGE, JOIN}.isdisjoint(scopes) and not by.may_grant_manage:
        raise Forbidden(
            f"Only a superuser, or manage.py create_api_key, grants the scopes {MANAGE}, {JOIN}; "
            f"{by.label} is no superuser.",
            required="superuser",
        )
    if READ in scopes and not by.may_grant_read:
        raise Forbidden(
            f"Only a superuser, manage.py create_api_key or a key with the scope {MANAGE} grants "
            f"the scope {READ}, which sees everything; {by.label} is none.",
            required="superuser",
        )
    if run_code and not by.may_run_code:
        raise Forbidden(
            f"Only those with the permission {PERMISSION} grant it to a key; {by.label} lacks it.",
            permission=PERMISSION,
        )


@registry_write
def revoke_api_key(*, key: ApiKey, by: Actor) -> None:
    """Make the key useless at once; its row stays."""
    key.revoked_at = locked(key).revoked_at
    if key.revoked_at is None:
        with audited(key, by=by, action=AuditEntry.Action.REVOKE):
            key.revoked_at = timezone.now()
            key.save(update_fields=["revoked_at"])


@registry_write
def join(*, token: ApiKey, host: str, release: str, by: Actor) -> dict[str, str]:
    """Return what a worker on another host needs, and count the host. Raises Conflict before."""
    shared: dict[str, str] = settings.CLIPPER_JOIN_SECRETS
    if release != VERSION:
        raise Conflict(f"This stack is Clipper {VERSION}, that host has {release}: install it.")
    for name, schemes in SERVERS.items():
        url = shared.get(name, "")
        # A path in the place of a host is that of a Unix socket.
        if not url.startswith(schemes) or (urlsplit(url).hostname or "%").startswith("%"):
            raise Conflict(
                f"Other hosts can't reach what this stack has as {name}: start it with one that "
                f"begins with {schemes[0]}// and names a host."
            )
    current = locked(token)
    if not current.is_active or not current.joins:
        raise Unauthenticated(f"This join token is {current.state}: {current.name}.")
    with audited(current, by=by, reason=f"{host} joined"):
        current.joins -= 1
        current.save(update_fields=["joins"])
    return shared
