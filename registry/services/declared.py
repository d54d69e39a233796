"""Declarations: rows are created if missing, changed if they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import BadRequest, Conflict
from registry.following.recording import registry_write
from registry.models import Application, Model
from registry.services.actor import Actor
from registry.services.applications import (
    OBJECTIVE,
    RouteRequest,
    create_application,
    json_text,
    replace_routes,
    set_objective,
    update_application,
)
from registry.services.models import create_model, update_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The result of a declaration, with the names of changed fields."""

    created: bool
    changed: list[str]


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

    `fields` are those of the application and of its objective. Raises Conflict for another input
    type, and what each of the changes raises; then none is made.
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
    _check_input_type(application, input_type=input_type)
    changes = {
        name: value for name, value in fields.items() if not _is(application, name, value=value)
    }
    own, objective = _parted(changes)
    if own:
        update_application(application=application, changes=own, by=by)
    if objective:
        set_objective(application=application, by=by, **objective)
    if routes is None or _routes_of(application) == sorted(map(_route_key, routes)):
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


@registry_write
def declare_model(
    *,
    name: str,
    model: Model | None,
    input_type: str | None = None,
    description: str | None = None,
    by: Actor,
) -> Declared:
    """Make the model, or None for a new one, what is declared. Raises Conflict, BadRequest."""
    if model is None:
        if input_type is None:
            raise BadRequest(f"Expected input_type, as {name} isn't there yet.")
        try:
            create_model(name=name, input_type=input_type, description=description or "", by=by)
            return Declared(created=True, changed=["input_type", "description"])
        except Conflict:
            # Another caller may just have declared the same.
            if (model := Model.objects.filter(name=name).first()) is None:
                raise
    _check_input_type(model, input_type=input_type)
    if description in (None, model.description):
        return Declared(created=False, changed=[])
    update_model(model=model, description=description or "", by=by)
    return Declared(created=False, changed=["description"])


def _check_input_type(row: Application | Model, *, input_type: str | None) -> None:
    if input_type not in (None, row.input_type):
        raise Conflict(
            f"{row.name} takes {row.input_type}, which can't change, got {input_type}.",
            name=row.name,
            input_type=row.input_type,
        )


def _parted(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the application's own fields and its objective's."""
    own = {name: value for name, value in fields.items() if name not in OBJECTIVE}
    return own, {name: value for name, value in fields.items() if name in OBJECTIVE}


def _is(application: Application, name: str, *, value: Any) -> bool:
    if name == "default_output":
        return bool(application.default_output == json_text(value))
    row = application.slo if name in OBJECTIVE else application
    return bool(getattr(row, name) == value)


def _routes_of(application: Application) -> list[tuple[str, str, str, float]]:
    routes = application.routes.select_related("model", "pinned_version")
    return sorted(
        (
            route.model.name,
            route.pinned_version.version if route.pinned_version else "",
            str(route.role),
            route.weight,
        )
        for route in routes
    )


def _route_key(route: RouteRequest) -> tuple[str, str, str, float]:
    return route.model, route.version or "", str(route.role), route.weight
