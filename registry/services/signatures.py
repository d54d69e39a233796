"""Signatures of versions that have to agree, as far as both are known."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from django.db.models import Q

from core.errors import Conflict
from registry.models import Application, Model, ModelVersion, Release, Route
from registry.versions.signature_differences import Difference, difference

# What to say where the difference is meant.
ALLOW = "allow_signature_change"


def signature_fault(release: Release) -> str:
    """Return why a release must not go on, "" if it may, as every return to a version may."""
    version = ModelVersion.objects.select_related("model").get(pk=release.target.pk)
    if release.allow_signature_change or _goes_back(release):
        return ""
    for other, what in _beside(version.model):
        if found := _difference(version, other):
            fault = _describe(found, version=version, other=other, what=what)
            return f"{fault} Deploy it with {ALLOW} where that is meant."
    return ""


@contextmanager
def arms_agreeing(
    application: Application, *, allow_signature_change: bool = False
) -> Iterator[None]:
    """Change routes in the block. Raises Conflict for a new arm that is gone or differs."""
    before = {_arm(route) for route in Route.objects.filter(application=application)}
    yield
    _check_there(application)
    if not allow_signature_change:
        _check_new(Route.objects.filter(application=application).with_versions(), before=before)


def _check_there(application: Application) -> None:
    """Raise Conflict if a model or a version of the routes was deleted meanwhile."""
    arms = [_arm(route) for route in Route.objects.filter(application=application)]
    models = {model for model, _ in arms}
    pins = {pin for _, pin in arms if pin is not None}
    there = Model.objects.filter(pk__in=models).count()
    if there < len(models) or ModelVersion.objects.filter(pk__in=pins).count() < len(pins):
        raise Conflict(f"A model or a version that {application} would ask was just deleted.")


def _check_new(routes: Collection[Route], *, before: Collection[tuple[int, int | None]]) -> None:
    for route in routes:
        version = None if _arm(route) in before else route.served
        if version is None:
            continue
        for other in (route.served for route in routes):
            if other is not None and (found := _difference(version, other)):
                what = f"another arm of {route.application}"
                fault = _describe(found, version=version, other=other, what=what)
                raise Conflict(
                    f"E{fault[1:]} Over REST, {ALLOW} has it so where that is meant.",
                    application=route.application.name,
                    version=str(version),
                    other=str(other),
                )


def _arm(route: Route) -> tuple[int, int | None]:
    return route.model_id, route.pinned_version_id


def _goes_back(release: Release) -> bool:
    lived = Release.objects.filter(version=release.version_id, live_at__isnull=False)
    return release.kind == Release.Kind.ROLLBACK and lived.exists()


def _beside(model: Model) -> Iterator[tuple[ModelVersion, str]]:
    """Yield what answers the same queries as the model's next version."""
    if model.live_version is not None:
        yield model.live_version, "which is live"
    itself = Q(model=model, pinned_version=None)
    following = Route.objects.filter(itself).values("application")
    others = Route.objects.filter(application__in=following, role=Route.Role.ARM).exclude(itself)
    for route in others.with_versions().select_related("application"):
        if route.served is not None:
            yield route.served, "an arm beside it"


def _difference(version: ModelVersion, other: ModelVersion) -> Difference | None:
    return difference(_signature(version), _signature(other))


def _signature(version: ModelVersion) -> Mapping[str, Any]:
    return msgspec.json.decode(version.signature, type=dict) if version.signature else {}


def _describe(found: Difference, *, version: ModelVersion, other: ModelVersion, what: str) -> str:
    return f"expected {found.expected}, as {other} {found.does}, {what}; {version} {found.got}."
