"""The audit trail, and the revisions by which two editors of a row notice each other."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import models
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from core.errors import PreconditionFailed
from registry.following.recording import registry_write
from registry.models import (
    ApiKey,
    Application,
    AuditEntry,
    Model,
    ModelVersion,
    ServiceLevelObjective,
)
from registry.models.settable_columns import settable
from registry.security.grants import check_own, grant_of
from registry.services.actor import SYSTEM, Actor
from registry.services.row_writes import locked

Action = AuditEntry.Action
Row = Application | Model | ModelVersion | ApiKey | User
State = dict[str, Any]

# Fields that move by themselves, or say only when something was written.
UNSEEN = frozenset(
    (
        *("id", "revision", "created_at", "created_by", "updated_at", "last_login", "date_joined"),
        *("generation", "warm_until", "validated_at", "n_features", "load_error"),
        *("previous_version", "rollout_id", "canary_version", "canary_share", "canary_hedged"),
        "shadow_share",
    )
)
SECRETS: Mapping[type, frozenset[str]] = {
    ApiKey: frozenset({"digest"}),
    ModelVersion: frozenset({"secret"}),
    User: frozenset({"password"}),
}
MASK = "•••"


@contextmanager
def audited(
    row: Row, *, by: Actor, action: str = Action.CHANGE, reason: str = ""
) -> Iterator[None]:
    """Lock the row, and record what the block changes of it and its parts. Raises NotFound."""
    with registry_write:
        before = _state_of(locked(row))
        yield
        changes = _difference(before, _state_of(locked(row)), row=row)
        if changes:
            record_done(row, by=by, action=action, reason=reason, changes=changes)


def record_created(row: Row, *, by: Actor) -> None:
    """Record a new row with its parts."""
    changes = _difference({}, _filled_state_of(row), row=row)
    record_done(row, by=by, action=Action.CREATE, changes=changes)


def record_deleted(row: Row, *, by: Actor, action: str = Action.DELETE, reason: str = "") -> None:
    """Record a row that is about to be deleted."""
    changes = _difference(_filled_state_of(row), {}, row=row)
    record_done(row, by=by, action=action, changes=changes, reason=reason)


@contextmanager
def unchanged_since(row: Row, revision: int | None) -> Iterator[None]:
    """Run the block if the row has this revision, or any for None. Raises PreconditionFailed."""
    with registry_write:
        if revision is not None:
            current: int = getattr(locked(row), "revision")  # noqa: B009  (not every Row has one)
            if current != revision:
                raise PreconditionFailed(
                    f"{row} has changed: {changes_since(row, revision)}.",
                    revision=current,
                    expected=revision,
                )
        yield


def changes_since(row: Row, revision: int) -> str:
    """Return what changed of a row after this revision, and by whom."""
    entries = AuditEntry.objects.of(row).filter(revision__gt=revision).order_by("id")[:10]
    return "; ".join(_describe(entry) for entry in entries) or "its revision isn't the one expected"


def _describe(entry: AuditEntry) -> str:
    changed = ", ".join(f"{name}: {old} → {new}" for name, (old, new) in entry.changes.items())
    return f"{changed or entry.action} by {entry.by} at {entry.at:%F %T} UTC"


def _state_of(row: Row) -> State:
    fields = (field for field in row._meta.concrete_fields if field.name not in UNSEEN)
    state = {field.name: _plain(getattr(row, field.name)) for field in fields}
    for relation in row._meta.many_to_many:
        state[relation.name] = sorted(str(other) for other in getattr(row, relation.name).all())
    if isinstance(row, Application):
        state |= _parts_of(row)
    if isinstance(row, User):
        state["role"] = _role_of(row)
    return state


def _filled_state_of(row: Row) -> State:
    """Return the state without empty values."""
    return {name: value for name, value in _state_of(row).items() if value not in (None, "", [])}


def shown_state(row: Row) -> State:
    """Return a row's values as entries have them."""
    secrets = SECRETS.get(type(row), frozenset())
    return {name: _shown(value, secret=name in secrets) for name, value in _state_of(row).items()}


def _parts_of(application: Application) -> State:
    """An application's objective and routes, which change with it."""
    known = Application.objects.with_everything().get(pk=application.pk)
    slo = getattr(known, "slo", None)
    objective = {} if slo is None else {name: getattr(slo, name) for name in OBJECTIVE}
    routes = [
        f"{str(route).partition(' → ')[2]} ({route.role}, {_number(route.weight)})"
        for route in known.routes.all()
    ]
    return {**objective, "routes": routes}


def _role_of(user: User) -> str:
    """Return a person's role, and the applications that it is for if they were chosen."""
    user.__dict__.pop("_grant", None)
    grant = grant_of(user)
    names = Application.objects.filter(pk__in=grant.applications or ())
    return ": ".join(filter(None, (grant.role, ", ".join(map(str, names)))))


REVISING = (Action.CHANGE, Action.DEPLOY, Action.ROLL_BACK, Action.GO_LIVE)
OBJECTIVE = settable(ServiceLevelObjective, but=("application",))


def _number(value: float) -> str:
    """Return a number that reads back as it was."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _plain(value: Any) -> Any:
    """Return a field's value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, models.Model):
        return str(value)
    return value


def _difference(before: State, after: State, *, row: Row) -> dict[str, list[Any]]:
    secrets = SECRETS.get(type(row), frozenset())
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {
        name: [_shown(state.get(name), secret=name in secrets) for state in (before, after)]
        for name in names
    }


def _shown(value: Any, *, secret: bool) -> Any:
    if secret and value is not None:
        return MASK
    if isinstance(value, str) and len(value) > 1000:
        return f"{value[:1000]}… ({len(value)} characters)"
    return value


# Why the services that the block calls change what they change, if nothing else says so.
_reason: ContextVar[str] = ContextVar("reason", default="")


@contextmanager
def because(reason: str) -> Iterator[None]:
    """Record this reason with whatever the block changes."""
    token = _reason.set(reason)
    try:
        yield
    finally:
        _reason.reset(token)


def record_done(
    row: models.Model,
    *,
    by: Actor,
    action: str,
    changes: Mapping[str, Any],
    reason: str = "",
    cause_id: int | None = None,
) -> None:
    """Record what was done about a row: old and new value by name. Raises Forbidden.

    Every change is recorded in its own transaction, so this holds the bounds of whoever makes it.
    """
    check_own(row, own=by.applications, user=by.user)
    AuditEntry.objects.create(
        **_who(by),
        action=action,
        kind=str(row._meta.verbose_name),
        object_id=row.pk,
        name=str(row)[:200],
        application_id=row.pk
        if isinstance(row, Application)
        else getattr(row, "application_id", None),
        model_id=row.pk if isinstance(row, Model) else getattr(row, "model_id", None),
        revision=_next_revision(row, action=action),
        changes=changes,
        reason=reason or _reason.get(),
        cause_id=cause_id,
    )


# The same event within this time adds to the count of an entry: a crash loop floods nothing.
REPEATS_WITHIN = timedelta(minutes=1)


def record_event(
    *,
    action: str,
    kind: str,
    name: str,
    application_id: int | None = None,
    model_id: int | None = None,
    object_id: int | None = None,
    changes: Mapping[str, Any] | None = None,
    reason: str = "",
    cause_id: int | None = None,
) -> None:
    """Record what Clipper did or found by itself: `changes` has old and new value by name."""
    event: dict[str, Any] = {
        **{"action": action, "kind": kind, "name": name[:200], "object_id": object_id},
        **{"application_id": application_id, "model_id": model_id, "cause_id": cause_id},
        "changes": dict(changes or {}),
    }
    lately = AuditEntry.objects.filter(
        **event, channel=SYSTEM.channel, at__gte=timezone.now() - REPEATS_WITHIN
    )
    again = lately.order_by("-id").values_list("pk", flat=True).first()
    if again is None:
        AuditEntry.objects.create(**_who(SYSTEM), **event, reason=reason[:4000])
    else:
        AuditEntry.objects.filter(pk=again).update(repeats=Coalesce("repeats", 0) + 1)


def _who(by: Actor) -> dict[str, Any]:
    return {
        "by": by.label,
        "user_id": by.user.pk if by.user else None,
        "key_prefix": by.key_prefix,
        "channel": by.channel,
        "address": by.address,
    }


def _next_revision(row: models.Model, *, action: str) -> int | None:
    if not isinstance(row, Application | Model | ModelVersion):
        return None
    if action not in REVISING:
        return row.revision
    rows = type(row)._default_manager.filter(pk=row.pk)
    rows.update(revision=F("revision") + 1)
    row.revision = rows.values_list("revision", flat=True).get()
    return row.revision
