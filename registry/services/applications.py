"""Applications, their objective and their routes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from core.errors import BadRequest, Conflict
from registry.following.recording import registry_write
from registry.models import Application, Model, ModelVersion, Route, ServiceLevelObjective
from registry.models.models import ModelQuerySet
from registry.models.settable_columns import settable
from registry.security.grants import check_own, within
from registry.services.actor import Actor, check_may_pin
from registry.services.audit_trail import audited, record_created, record_deleted
from registry.services.models import Declared, check_input_type
from registry.services.row_writes import check_changeable, checked, locked, save_new
from registry.services.signatures import arms_agreeing
from registry.versions.extensions import check_policy

# Clients and models rely on its name and its input type.
CHANGEABLE = settable(Application, but=("name", "input_type"))
OBJECTIVE = settable(ServiceLevelObjective, but=("application",))


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRequest:
    """One wanted route, by names."""

    model: str
    version: str | None = None
    role: str = Route.Role.ARM
    weight: float = 1.0


@registry_write
def create_application(
    *,
    name: str,
    input_type: str,
    slo_ms: float,
    slo_target: float = 0.99,
    routes: Sequence[RouteRequest] = (),
    default_output: Any = msgspec.UNSET,
    allow_signature_change: bool = False,
    by: Actor,
    **fields: Any,
) -> Application:
    """Create an application with its objective and routes. Raises what each of them does."""
    application = Application(
        name=name, input_type=input_type, default_output=json_text(default_output), **fields
    )
    _check(application)
    taken = Conflict(f"Application {name} exists already.", application=name)
    save_new(application, conflict=taken)
    _set_objective(application, changes={"latency_ms": slo_ms, "target": slo_target})
    with arms_agreeing(application, allow_signature_change=allow_signature_change):
        _replace_routes(application, routes=routes, by=by)
    record_created(application, by=by)
    return application


@registry_write
def update_application(
    *, application: Application, changes: Mapping[str, Any], by: Actor
) -> Application:
    """Change fields; a new policy starts with its defaults, msgspec.UNSET removes an output."""
    with audited(application, by=by):
        return _update(application, changes=changes)


def _update(application: Application, *, changes: Mapping[str, Any]) -> Application:
    current = Application.objects.get(pk=application.pk)
    if "policy" in changes and changes["policy"] != current.policy:
        changes = {"policy_params": {}, **changes}
    check_changeable(changes, fields=CHANGEABLE)
    for field, value in changes.items():
        setattr(current, field, json_text(value) if field == "default_output" else value)
    _check(current)
    current.save()
    return current


@registry_write
def delete_application(*, application: Application, by: Actor) -> None:
    """Delete an application with its objective and its routes; the models stay."""
    locked(application, goes=True)
    record_deleted(application, by=by)
    application.delete()


def set_objective(*, application: Application, by: Actor, **changes: Any) -> ServiceLevelObjective:
    """Set `latency_ms`, `target` or `window`, leaving the others."""
    with _changing(application, by=by):
        return _set_objective(application, changes=changes)


def _set_objective(
    application: Application, *, changes: Mapping[str, Any]
) -> ServiceLevelObjective:
    slo = ServiceLevelObjective.objects.filter(application=application).first()
    slo = slo or ServiceLevelObjective(application=application)
    for field, value in changes.items():
        setattr(slo, field, value)
    checked(slo)
    slo.save()
    application.slo = slo
    return slo


def replace_routes(
    *,
    application: Application,
    routes: Sequence[RouteRequest],
    allow_signature_change: bool = False,
    by: Actor,
) -> list[Route]:
    """Replace the routes. Raises NotFound, Forbidden for code, Conflict for other signatures."""
    with (
        _changing(application, by=by),
        arms_agreeing(application, allow_signature_change=allow_signature_change),
    ):
        return _replace_routes(application, routes=routes, by=by)


def _replace_routes(
    application: Application, *, routes: Sequence[RouteRequest], by: Actor
) -> list[Route]:
    # Before the present ones go: what they pin runs already.
    wanted = [_new_route(application, request=request, by=by) for request in routes]
    application.routes.all().delete()
    for route in wanted:
        checked(route)
        route.save()
    return wanted


@contextmanager
def _changing(application: Application, *, by: Actor) -> Iterator[None]:
    """Lock and record the application while its parts change."""
    with registry_write:
        # Changes of its parts follow in order.
        locked(application).save(update_fields=["updated_at"])
        with audited(application, by=by):
            yield


def json_text(value: Any) -> str:
    """Return JSON as the database keeps it, "" for no value."""
    return "" if value is msgspec.UNSET else msgspec.json.encode(value).decode()


def _check(application: Application) -> None:
    check_policy(application.policy, params=application.policy_params)
    checked(application, unique=False)


def _new_route(application: Application, *, request: RouteRequest, by: Actor) -> Route:
    seen = cast(ModelQuerySet, within(Model.objects.all(), own=by.applications))
    model = seen.named(request.model)
    version = None
    if request.version is not None:
        version = ModelVersion.objects.filter(model=model).named(request.version, of=model.name)
        check_may_pin(version, by=by)
        if not (version.is_live or version.pinning_routes.exists()):
            # It would start replicas of a model that others ask.
            check_own(version, own=by.applications, user=by.user)
    return Route(
        application=application,
        model=model,
        pinned_version=version,
        role=request.role,
        weight=request.weight,
    )


@registry_write
def declare_application(
    *,
    name: str,
    application: Application | None,
    fields: Mapping[str, Any],
    input_type: str | None = None,
    routes: Sequence[RouteRequest] | None = None,
    allow_signature_change: bool = False,
    by: Actor,
) -> Declared:
    """Make the application, or None for a new one, what is declared; the rest stays as it is.

    `fields` are also those of its objective. Raises Conflict for another input type.
    """
    if application is None:
        try:
            return _create(
                name,
                fields=fields,
                routes=routes or (),
                input_type=input_type,
                allow_signature_change=allow_signature_change,
                by=by,
            )
        except Conflict:
            # Another caller may just have declared the same.
            rows = Application.objects.with_everything().filter(name=name)
            if (application := rows.first()) is None:
                raise
    check_input_type(application, input_type=input_type)
    changes = {
        name: value for name, value in fields.items() if not _is(application, name, value=value)
    }
    own, objective = _parted(changes)
    if own:
        update_application(application=application, changes=own, by=by)
    if objective:
        set_objective(application=application, by=by, **objective)
    if routes is None or Counter(routes) == Counter(_requests_of(application)):
        return Declared(created=False, changed=[*changes])
    replace_routes(
        application=application,
        routes=routes,
        allow_signature_change=allow_signature_change,
        by=by,
    )
    return Declared(created=False, changed=[*changes, "routes"])


@registry_write
def _create(
    name: str,
    *,
    fields: Mapping[str, Any],
    input_type: str | None,
    routes: Sequence[RouteRequest],
    by: Actor,
    **options: Any,
) -> Declared:
    if input_type is None or "latency_ms" not in fields:
        raise BadRequest(f"Expected input_type and slo_ms, as {name} isn't there yet.")
    own, objective = _parted(fields)
    created = create_application(
        name=name,
        input_type=input_type,
        slo_ms=objective["latency_ms"],
        routes=routes,
        by=by,
        **own,
        **options,
    )
    set_objective(application=created, by=by, **objective)
    return Declared(created=True, changed=[*fields, "routes"])


def _parted(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the application's own fields and its objective's."""
    own = {name: value for name, value in fields.items() if name not in OBJECTIVE}
    return own, {name: value for name, value in fields.items() if name in OBJECTIVE}


def _is(application: Application, name: str, *, value: Any) -> bool:
    if name == "default_output":
        return bool(application.default_output == json_text(value))
    row = application.slo if name in OBJECTIVE else application
    return bool(getattr(row, name) == value)


def _requests_of(application: Application) -> list[RouteRequest]:
    """Return the requests that would make the present routes."""
    return [
        RouteRequest(
            model=route.model.name,
            version=route.pinned_version.version if route.pinned_version else None,
            role=route.role,
            weight=route.weight,
        )
        for route in application.routes.select_related("model", "pinned_version")
    ]
