"""Applications, their objective and their routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from django.db import transaction

from registry.errors import BadRequest, Conflict, NotFound
from registry.extensions import check_policy
from registry.models import Application, Model, ModelVersion, Route, ServiceLevelObjective
from registry.services.validation import checked, save_new


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRequest:
    """One wanted route, by names."""

    model: str
    version: str | None = None
    role: str = Route.Role.ARM
    weight: float = 1.0


@transaction.atomic
def create_application(
    *,
    name: str,
    input_type: str,
    slo_ms: float,
    slo_target: float = 0.99,
    routes: Sequence[RouteRequest] = (),
    default_output: Any = msgspec.UNSET,
    **fields: Any,
) -> Application:
    """Create an application with its objective and its routes.

    `default_output` is any JSON value; left out, a query that no model answers fails instead.
    Raises BadRequest for a wrong field, Conflict where the name is taken, NotFound where a route
    names a model or a version that doesn't exist.
    """
    taken = Conflict(f"Application {name} exists already.", application=name)
    if Application.objects.filter(name=name).exists():
        raise taken
    application = Application(
        name=name, input_type=input_type, default_output=json_text(default_output), **fields
    )
    _check(application)
    save_new(application, conflict=taken)
    set_objective(application=application, latency_ms=slo_ms, target=slo_target)
    replace_routes(application=application, routes=routes)
    return application


@transaction.atomic
def update_application(*, application: Application, changes: Mapping[str, Any]) -> Application:
    """Change the given fields; `default_output` is a JSON value, or msgspec.UNSET to remove it.

    A new policy without parameters of its own starts with its defaults. The name and the input
    type can't change: clients and models rely on them.
    """
    locked = Application.objects.select_for_update().get(pk=application.pk)
    if "policy" in changes and changes["policy"] != locked.policy:
        changes = {"policy_params": {}, **changes}
    for field, value in changes.items():
        if field not in CHANGEABLE:
            raise BadRequest(f"{field}: Can't be changed.", fields=[field])
        setattr(locked, field, json_text(value) if field == "default_output" else value)
    _check(locked)
    locked.save()
    return locked


CHANGEABLE = frozenset(
    {
        "description",
        "policy",
        "policy_params",
        "combine",
        "default_output",
        "confidence_threshold",
        "public",
        "feedback_window_s",
        "cache",
        "cache_ttl_s",
        "priority",
        "loss",
        "loss_expression",
        "loss_scale",
        "missing_loss",
        "default_reward",
        "context_ttl_s",
        "max_contexts",
    }
)


@transaction.atomic
def delete_application(*, application: Application) -> None:
    """Delete an application with its objective and its routes; the models stay."""
    application.delete()


@transaction.atomic
def set_objective(*, application: Application, **changes: Any) -> ServiceLevelObjective:
    """Set `latency_ms`, `target` or `window`, leaving the others."""
    _touch(application)
    slo = ServiceLevelObjective.objects.filter(application=application).first()
    slo = slo or ServiceLevelObjective(application=application)
    for field, value in changes.items():
        setattr(slo, field, value)
    checked(slo)
    slo.save()
    application.slo = slo
    return slo


@transaction.atomic
def replace_routes(*, application: Application, routes: Sequence[RouteRequest]) -> list[Route]:
    """Make these the application's routes. Raises NotFound for an unknown model or version."""
    _touch(application)
    application.routes.all().delete()
    return [_create_route(application=application, request=request) for request in routes]


@transaction.atomic
def link_model(
    *, application: Application, model: Model, version: ModelVersion | None = None
) -> Route:
    """Add one arm to the application."""
    _touch(application)
    request = RouteRequest(model=model.name, version=version.version if version else None)
    return _create_route(application=application, request=request)


@transaction.atomic
def unlink_model(*, application: Application, model: Model) -> None:
    """Remove the model's arms from the application. Raises NotFound where there is none."""
    _touch(application)
    deleted, _ = application.routes.filter(model=model).delete()
    if not deleted:
        raise NotFound(f"{model.name} is not routed by {application.name}.")


def json_text(value: Any) -> str:
    """Return JSON as the database keeps it; the empty text stands for no value at all."""
    return "" if value is msgspec.UNSET else msgspec.json.encode(value).decode()


def _check(application: Application) -> None:
    check_policy(application.policy, params=application.policy_params)
    checked(application)


def _touch(application: Application) -> None:
    """Lock the application for this transaction, so that changes of its parts follow in order."""
    locked = Application.objects.select_for_update().filter(pk=application.pk).first()
    if locked is None:
        raise NotFound(f"There is no application named {application.name!r} any more.")
    locked.save(update_fields=["updated_at"])


def _create_route(*, application: Application, request: RouteRequest) -> Route:
    model = Model.objects.filter(name=request.model).first()
    if model is None:
        raise NotFound(f"There is no model named {request.model!r}.", model=request.model)
    version = None
    if request.version is not None:
        version = model.versions.filter(version=request.version).first()
        if version is None:
            raise NotFound(
                f"{model.name} has no version {request.version!r}.",
                model=model.name,
                version=request.version,
            )
    route = Route(
        application=application,
        model=model,
        pinned_version=version,
        role=request.role,
        weight=request.weight,
    )
    checked(route)
    route.save()
    return route
