"""Reach of management keys that are bound to applications.

Such a key sees its applications and the models they route to, and changes only models that no other
application routes to. Anything else looks as if it weren't there.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from rest_framework.request import Request

from core.errors import Forbidden
from registry.models import ApiKey, Application, Model, ModelVersion, Route
from registry.models.application import ApplicationQuerySet, Priority
from registry.models.models import ModelQuerySet
from registry.services import RouteRequest

PRIORITIES = tuple(Priority.values)  # the one that goes first, first


def bound_to(request: Request | HttpRequest) -> frozenset[int] | None:
    """Return the applications that the caller's key is bound to, None for all."""
    key = getattr(request, "auth", None)
    if not (isinstance(key, ApiKey) and key.bound):
        return None
    return frozenset(key.applications.values_list("pk", flat=True))


def applications_for(request: Request | HttpRequest) -> ApplicationQuerySet:
    rows = Application.objects.all()
    own = bound_to(request)
    return rows if own is None else rows.filter(pk__in=own)


def models_for(request: Request | HttpRequest) -> ModelQuerySet:
    rows = Model.objects.all()
    own = bound_to(request)
    if own is None:
        return rows
    return rows.filter(pk__in=Route.objects.filter(application__in=own).values("model"))


def check_changes(request: Request, *, model: Model) -> None:
    """Raise Forbidden if an application outside the caller's key asks the model."""
    own = bound_to(request)
    if own is not None and _shared(own, models=[model.pk]):
        raise Forbidden(
            f"{model.name} is asked by applications that this key isn't bound to, "
            "so the key may only read it.",
            model=model.name,
        )


def check_routes(request: Request, *, routes: Iterable[RouteRequest]) -> None:
    """Raise NotFound for unseen models, Forbidden for pins that start replicas of shared ones."""
    own = bound_to(request)
    if own is None:
        return
    for route in routes:
        model = models_for(request).named(route.model)
        if route.version is not None and not _runs(model, version=route.version):
            check_changes(request, model=model)


def check_urgency(
    request: Request, *, application: Application, changes: Mapping[str, Any]
) -> None:
    """Raise Forbidden if a bound key would make others wait at a model that they share."""
    own = bound_to(request)
    if own is None:
        return
    priority, latency_ms = changes.get("priority"), changes.get("latency_ms")
    sooner = (
        priority in PRIORITIES
        and PRIORITIES.index(priority) < PRIORITIES.index(application.priority)
    ) or (latency_ms is not None and latency_ms < application.slo.latency_ms)
    models = application.routes.values_list("model_id", flat=True)
    if sooner and _shared(own, models=models):
        raise Forbidden(
            f"{application.name} shares models with applications that this key isn't bound to, "
            "so the key may not raise its priority or shorten its objective."
        )


def _shared(own: frozenset[int], *, models: Iterable[int]) -> bool:
    """Say whether an application outside of `own` asks one of these models."""
    routes = Route.objects.filter(model__in=list(models))
    return routes.exclude(application__in=own).exists()


def _runs(model: Model, *, version: str) -> bool:
    """Say whether this version has replicas already: it is live or pinned."""
    rows = ModelVersion.objects.filter(model=model, version=version)
    pinned = Q(pinning_routes__isnull=False)
    return rows.filter(Q(pk=model.live_version_id) | pinned).exists()
