"""Signatures of versions that have to agree, as far as both are known."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
from django.db.models import Q

from core.errors import Conflict
from registry.models import Application, Model, ModelVersion, Release, Route

# What to say where the difference is meant.
ALLOW = "allow_signature_change"
# How the parts of an input are said.
KINDS = {"string": "strings", "category": "strings", "bool": "booleans", "": ""}
# What an answer is that has no kind of its own.
NO_KIND = ("mixed", "null", "")


class Difference(NamedTuple):
    """`expected`, as the other one `does`; but this one `got`."""

    expected: str
    does: str
    got: str


def signature_fault(release: Release) -> str:
    """Return why a release must not go on, "" if it may, as every return to a version may."""
    version = ModelVersion.objects.select_related("model").get(pk=release.target.pk)
    lived = Release.objects.filter(version=version, live_at__isnull=False).exists()
    if release.allow_signature_change or (release.kind == Release.Kind.ROLLBACK and lived):
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


def difference(version: Mapping[str, Any], other: Mapping[str, Any]) -> Difference | None:
    """Return the first thing in which `version` can't replace the other."""
    if version.get("input_type") != other.get("input_type"):
        return None  # an application's business, not that of its versions
    parts, others = _parts(version), _parts(other)
    found = None
    if parts and others:
        found = _of_names(parts, others, kind=_noun(version)) or _of_parts(parts, others)
    return found or _of_outputs(version.get("output") or {}, other.get("output") or {})


def _parts(signature: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {part.get("name", ""): part for part in signature.get("inputs") or ()}


def _noun(signature: Mapping[str, Any]) -> str:
    return "column" if signature.get("input_type") == "columns" else "tensor"


def _of_names(
    parts: Mapping[str, Any], others: Mapping[str, Any], *, kind: str
) -> Difference | None:
    if set(parts) == set(others) or (len(parts) == len(others) == 1 and kind == "tensor"):
        return None
    for name in others:
        if name not in parts:
            return Difference(f"the {kind} {name!r}", "takes", "doesn't know it")
    for name, part in parts.items():
        if name not in others and (kind == "tensor" or part.get("nullable") is False):
            return Difference(f"no {kind} {name!r}", "takes none", "can't do without it")
    return None


def _of_parts(parts: Mapping[str, Any], others: Mapping[str, Any]) -> Difference | None:
    pairs = [(parts[name], other, name) for name, other in others.items() if name in parts]
    if not pairs:
        pairs = [
            (part, other, "") for part, other in zip(parts.values(), others.values(), strict=False)
        ]
    for part, other, name in pairs:
        where = f" in {name!r}" if name else ""
        ours, theirs = _kind_of(part), _kind_of(other)
        if ours and theirs and ours != theirs:
            return Difference(f"{theirs}{where}", "takes", f"takes {ours}")
        ours, theirs = _shape_of(part), _shape_of(other)
        if ours and theirs and not _fits(part["shape"], other["shape"]):
            return Difference(f"{theirs}{where}", "takes", f"takes {ours}")
        if part.get("nullable") is False and other.get("nullable") and name:
            return Difference(f"a row without {name!r}", "takes", "can't do without it")
    return None


def _kind_of(part: Mapping[str, Any]) -> str:
    dtype = part.get("dtype", "")
    return KINDS.get(dtype, "times" if dtype.startswith("datetime") else "numbers")


def _shape_of(part: Mapping[str, Any]) -> str:
    shape = part.get("shape")
    if not shape:
        return ""
    if len(shape) == 1 and shape[0] is not None:
        return f"{shape[0]} numbers"
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    return f"a tensor of the shape [{sizes}]"


def _fits(shape: list[int | None], other: list[int | None]) -> bool:
    """Say whether the other's shape fits this one, as far as both say."""
    return len(shape) == len(other) and all(
        None in sizes or sizes[0] == sizes[1] for sizes in zip(shape, other, strict=True)
    )


def _of_outputs(output: Mapping[str, Any], other: Mapping[str, Any]) -> Difference | None:
    ours, theirs = output.get("kind", ""), other.get("kind", "")
    if ours in NO_KIND or theirs in NO_KIND:
        return None
    if ours != theirs:
        return Difference(f"outputs of the kind {theirs}", "gives", f"gives the kind {ours}")
    ours, theirs = output.get("shape") or [], other.get("shape") or []
    if ours and theirs and ours != theirs:
        return Difference(f"outputs of the shape {theirs}", "gives", f"gives {ours}")
    return None
