"""Changes of single rows of the registry, and their effect on a snapshot."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from core.specs import (
    APPLICATION,
    KEY,
    MODEL,
    VERSION,
    ApiKeySpec,
    ApplicationSpec,
    ModelSpec,
    Snapshot,
    VersionSpec,
)

Spec = ApplicationSpec | ModelSpec | VersionSpec | ApiKeySpec
S = TypeVar("S", ApplicationSpec, ModelSpec, VersionSpec, ApiKeySpec)

# Kind and id.
RowKey = tuple[str, int]

# Keys come first, for a revoked one lets in; then what is referred to before what refers to it,
# and what isn't referred to any more last.
_RANKS = {
    (KEY, False): 0,
    (KEY, True): 0,
    (VERSION, False): 1,
    (MODEL, False): 2,
    (APPLICATION, False): 3,
    (APPLICATION, True): 3,
    (MODEL, True): 4,
    (VERSION, True): 5,
}


class RowChange(NamedTuple):
    """A row as the prediction path knows it from now on; None if it is gone."""

    kind: str
    id: int
    spec: Spec | None


def in_order(changes: Iterable[RowChange]) -> list[RowChange]:
    """Sort changes so that any first part of them makes sense without the rest."""
    return sorted(changes, key=lambda change: _RANKS[change.kind, change.spec is None])


def specs_by_row(snapshot: Snapshot) -> dict[RowKey, Spec]:
    """Return everything in the snapshot by kind and id."""
    return {
        **{(KEY, spec.id): spec for spec in snapshot.keys.values()},
        **{(VERSION, spec.id): spec for spec in snapshot.versions.values()},
        **{(MODEL, spec.id): spec for spec in snapshot.models.values()},
        **{(APPLICATION, spec.id): spec for spec in snapshot.applications.values()},
    }


def differences(before: Snapshot, after: Snapshot) -> list[RowChange]:
    """Return the changes that make the second snapshot of the first."""
    return in_order(_between(specs_by_row(before), specs_by_row(after)))


def _between(before: Mapping[RowKey, Spec], after: Mapping[RowKey, Spec]) -> Iterator[RowChange]:
    for row, spec in after.items():
        if before.get(row) != spec:
            yield RowChange(*row, spec)
    for row in before.keys() - after.keys():
        yield RowChange(*row, None)


def changed(snapshot: Snapshot, changes: Sequence[RowChange]) -> Snapshot:
    """Return the snapshot as it is after these changes."""
    by_kind = {
        kind: [change for change in changes if change.kind == kind]
        for kind in {change.kind for change in changes}
    }
    parts: dict[str, Any] = {}
    if of_keys := by_kind.get(KEY):
        parts["keys"] = _renamed(snapshot.keys, of_keys, name=lambda key: key.digest)
    if of_versions := by_kind.get(VERSION):
        parts["versions"] = _by_id(snapshot.versions, of_versions)
        arms = _renamed(snapshot.versions_by_arm, of_versions, name=lambda version: version.arm)
        parts["versions_by_arm"] = arms
    if of_models := by_kind.get(MODEL):
        parts["models"] = _by_id(snapshot.models, of_models)
    if of_applications := by_kind.get(APPLICATION):
        parts["applications"] = _renamed(
            snapshot.applications, of_applications, name=lambda application: application.name
        )
    return replace(snapshot, **parts)


def _by_id(known: Mapping[int, S], changes: Iterable[RowChange]) -> Mapping[int, S]:
    found: dict[int, Any] = dict(known)
    for change in changes:
        if change.spec is None:
            found.pop(change.id, None)
        else:
            found[change.id] = change.spec
    return MappingProxyType(found)


def _renamed(
    known: Mapping[str, S], changes: Iterable[RowChange], *, name: Callable[[S], str]
) -> Mapping[str, S]:
    """Change specs that are found by a name: a new name replaces the old."""
    found: dict[str, Any] = dict(known)
    names: dict[int, str] | None = None
    for change in changes:
        spec: Any = change.spec
        there = None if spec is None else found.get(name(spec))
        if there is None or there.id != change.id:
            if names is None:
                names = {other.id: called for called, other in found.items()}
            called = names.pop(change.id, None)
            # Another one may have taken its name meanwhile.
            if called is not None and found[called].id == change.id:
                del found[called]
        if spec is not None:
            found[name(spec)] = spec
            if names is not None:
                names[change.id] = name(spec)
    return MappingProxyType(found)


# The order of reading: rows that refer to others come before these, so that none is missing.
KINDS = (KEY, APPLICATION, MODEL, VERSION)


@dataclass(slots=True)
class RowReading:
    """Rows as they are now (None: gone), faults, and the last change number included."""

    number: int = 0
    specs: dict[RowKey, Spec | None] = field(default_factory=dict)
    faults: dict[RowKey, str] = field(default_factory=dict)


class Piece(NamedTuple):
    """The next rows of a kind, and the id after which the following ones begin, if any."""

    reading: RowReading
    following: int | None
