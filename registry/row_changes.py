"""Changes of single rows of the registry, and what they make of a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from core.changes import APPLICATION, KEY, MODEL, VERSION
from core.specs import ApiKeySpec, ApplicationSpec, ModelSpec, Snapshot, VersionSpec

Spec = ApplicationSpec | ModelSpec | VersionSpec | ApiKeySpec
S = TypeVar("S", ApplicationSpec, ModelSpec, VersionSpec, ApiKeySpec)
K = TypeVar("K")

# What a row was read as: compared, and otherwise nobody's business.
Row = tuple[Any, ...]
# By kind and id, how each row was when it was last followed.
Known = Mapping[str, dict[int, Row]]

# In which order a reading goes through the registry.
KINDS = (KEY, VERSION, MODEL, APPLICATION)
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
    """A row as it is now, and what the prediction path makes of it: None where it is to be gone.

    Where nothing can be made of it `fault` says why.
    """

    kind: str
    id: int
    spec: Spec | None
    row: Row | None = None
    fault: str = ""


class UnreadableRow(NamedTuple):
    """Stands for a row that holds what its columns can't: it is compared as others are."""

    why: str
    bound_to: frozenset[int] = frozenset()
    usable: bool = False


class RowPlace(NamedTuple):
    """How far a comparison of everything is: at the rows of this kind after this id."""

    kind: str
    after: int = 0


START = RowPlace(KINDS[0])


class Piece(NamedTuple):
    """What a piece of a comparison found, and where it goes on; None where all has been seen."""

    changes: Sequence[RowChange]
    following: RowPlace | None


def in_order(changes: Iterable[RowChange]) -> list[RowChange]:
    """Return them so that a part of them from the beginning makes sense without the rest."""
    return sorted(changes, key=lambda change: _RANKS[change.kind, change.spec is None])


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


def differences(before: Snapshot, after: Snapshot) -> list[RowChange]:
    """Return the changes that make the second snapshot of the first."""
    found = [
        *_between(KEY, _ids(before.keys), _ids(after.keys)),
        *_between(VERSION, before.versions, after.versions),
        *_between(MODEL, before.models, after.models),
        *_between(APPLICATION, _ids(before.applications), _ids(after.applications)),
    ]
    return in_order(found)


def _ids(specs: Mapping[str, S]) -> dict[int, S]:
    return {spec.id: spec for spec in specs.values()}


def _between(kind: str, before: Mapping[int, S], after: Mapping[int, S]) -> Iterator[RowChange]:
    for row_id, spec in after.items():
        if before.get(row_id) != spec:
            yield RowChange(kind, row_id, spec)
    for row_id in before.keys() - after.keys():
        yield RowChange(kind, row_id, None)


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
    """Of those that are found by a name: what has another one now leaves the old."""
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
