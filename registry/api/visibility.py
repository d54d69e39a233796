"""Reach of callers, keys and people, who are bound to applications.

They see their applications and the models these route to, and change only models that no other
application routes to. Anything else looks as if it weren't there. The rules are those of
`registry.security.grants`; pages of the console ask here too.
"""

from collections.abc import Mapping
from typing import Any, cast

from django.contrib.auth.models import User
from django.http import HttpRequest
from rest_framework.request import Request

from core.errors import Forbidden
from registry.models import ApiKey, Application, Model
from registry.models.application import ApplicationQuerySet, Priority
from registry.models.models import ModelQuerySet
from registry.security.grants import check_own, grant_of, shares, within

PRIORITIES = tuple(Priority.values)  # the one that goes first, first
Asking = Request | HttpRequest


def bound_to(request: Asking) -> frozenset[int] | None:
    """Return the applications that the caller is bound to, None for all."""
    key = getattr(request, "auth", None)
    if isinstance(key, ApiKey):
        return key.bound_to
    return grant_of(request.user).applications if isinstance(request.user, User) else None


def applications_for(request: Asking) -> ApplicationQuerySet:
    return cast(ApplicationQuerySet, within(Application.objects.all(), own=bound_to(request)))


def models_for(request: Asking) -> ModelQuerySet:
    return cast(ModelQuerySet, within(Model.objects.all(), own=bound_to(request)))


def check_changes(request: Asking, *, model: Model) -> None:
    """Raise Forbidden if an application outside the caller's reach asks the model."""
    check_own(model, own=bound_to(request), user=None)


def check_urgency(request: Asking, *, application: Application, changes: Mapping[str, Any]) -> None:
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
    if sooner and shares(models, own=own):
        raise Forbidden(
            f"{application.name} shares models with applications that you aren't bound to, "
            "so you may not raise its priority or shorten its objective."
        )
