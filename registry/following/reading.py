"""Reads rows of the registry as specs, blocking, and by columns: instances cost far more."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from django.db import DataError
from django.db.models import Model as DjangoModel
from django.db.models import QuerySet
from django.utils import timezone

from core.errors import NotFound
from core.specs import (
    APPLICATION,
    KEY,
    MODEL,
    VERSION,
    ApiKeySpec,
    ApplicationSpec,
    BatchingSpec,
    ModelSpec,
    RouteSpec,
    Snapshot,
    VersionSpec,
    arms_of,
    weights_of,
)
from registry.following.row_changes import (
    KINDS,
    Piece,
    RowChange,
    RowKey,
    RowReading,
    Spec,
    changed,
    in_order,
)
from registry.models import ApiKey, Application, Model, ModelVersion, RegistryChange, Route
from registry.models.api_key import scopes_of
from registry.models.application import Priority
from registry.models.models import bounds_of

# Rows of one question: about a millisecond of the interpreter.
PIECE = 200
# Errors that a driver, a decoder or a spec raises for a value that was written past the ORM.
BROKEN = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, DataError)
PRIORITIES = tuple(Priority.values)

S = TypeVar("S")
Values = Mapping[str, Any]


def last_number() -> int:
    """Return the number of the last change; 0 before the first one."""
    return RegistryChange.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def read_newer(number: int) -> RowReading | None:
    """Read the rows that changed after this number; None if the history has no such number."""
    changes = list(
        RegistryChange.objects.filter(pk__gte=number)
        .order_by("pk")
        .values_list("pk", "kind", "row_id")
    )
    if number and not changes:
        return None
    reading = RowReading(number=changes[-1][0] if changes else 0)
    changed: defaultdict[str, list[int]] = defaultdict(list)
    for change, kind, row_id in changes:
        if change > number:
            changed[kind].append(row_id)
    for kind in KINDS:
        ids = changed[kind]
        for first in range(0, len(ids), PIECE):
            some = ids[first : first + PIECE]
            reading.specs |= dict.fromkeys(((kind, row_id) for row_id in some), None)
            _read_into(reading, kind, _KINDS[kind].rows().filter(pk__in=some))
    return reading


def read_piece(kind: str, after: int = 0) -> Piece:
    """Read the next rows of this kind, after one with this id."""
    reading = RowReading()
    _read_into(reading, kind, _KINDS[kind].rows().filter(pk__gt=after))
    ids = sorted(row_id for _, row_id in reading.specs)
    return Piece(reading, ids[-1] if len(ids) == PIECE else None)


def version_spec(version: ModelVersion) -> VersionSpec:
    return _version(_values(version, _VERSION))


def application_spec(application: Application) -> ApplicationSpec:
    routes = [_values(route, _ROUTE) for route in application.routes.all()]
    return _application({**_values(application, _APPLICATION), "routes": routes})


def _values(row: DjangoModel, columns: Iterable[str]) -> Values:
    """Return what `QuerySet.values` does, from an instance."""
    values: dict[str, Any] = {}
    for column in columns:
        value: Any = row
        for name in column.split("__"):
            value = getattr(value, name)
        values[column] = value
    return values


def _read_into(reading: RowReading, kind: str, rows: QuerySet[Any, Any]) -> None:
    """Read the first of these rows; if one of them can't be read, each by itself."""
    rows = rows.order_by("pk")[:PIECE]
    try:
        values = list(_KINDS[kind].complete(rows))
    except BROKEN:
        for row_id in rows.values_list("pk", flat=True):
            try:
                (value,) = _KINDS[kind].complete(_KINDS[kind].rows().filter(pk=row_id))
                reading.specs[kind, row_id] = _KINDS[kind].spec(value)
            except BROKEN as error:
                _note_fault(reading, (kind, row_id), error)
        return
    for value in values:
        row = kind, value["id"]
        try:
            reading.specs[row] = _KINDS[kind].spec(value)
        except BROKEN as error:
            _note_fault(reading, row, error)


def _note_fault(reading: RowReading, row: RowKey, error: Exception) -> None:
    reading.specs[row] = None
    reading.faults[row] = f"{type(error).__name__}: {error}"[:200]


# --- the columns of each kind, and the spec that they make --------------------------------------


def _own(spec: Any, *, but: Iterable[str]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(spec) if field.name not in but)


_APPLICATION_OWN = _own(
    ApplicationSpec,
    but=("slo_ms", "slo_target", "default_output", "policy_params", "priority", "routes"),
)
_APPLICATION = (
    *_APPLICATION_OWN,
    *("slo__latency_ms", "slo__target", "default_output", "policy_params", "priority"),
)
_ROUTE_OWN = ("model_id", "role", "weight", "pinned_version_id")
_ROUTE = (*_ROUTE_OWN, "model__name")
_VERSION_OWN = _own(VersionSpec, but=("model", "input_type", "batching", "replica_bounds"))
_VERSION = (
    *_VERSION_OWN,
    *("model__name", "model__input_type", "batching", "max_batch_size", "batch_wait_ms"),
    *("min_replicas", "max_replicas"),
)
_MODEL = _own(ModelSpec, but=())
_SCOPES = ("can_predict", "can_feedback", "can_read", "can_manage")
_KEY = ("id", "name", "digest", *_SCOPES, "bound", "expires_at", "revoked_at")


def _complete_application(row: Values) -> ApplicationSpec | None:
    just_being_made = row["slo__latency_ms"] is None
    return None if just_being_made else _application(row)


def _application(row: Values) -> ApplicationSpec:
    default = row["default_output"]
    return ApplicationSpec(
        **{name: row[name] for name in _APPLICATION_OWN},
        slo_ms=row["slo__latency_ms"],
        slo_target=row["slo__target"],
        default_output=default.encode() if default else None,
        policy_params=MappingProxyType(dict(row["policy_params"])),
        priority=PRIORITIES.index(row["priority"]),
        routes=tuple(map(_route, row["routes"])),
    )


def _route(row: Values) -> RouteSpec:
    return RouteSpec(model=row["model__name"], **{name: row[name] for name in _ROUTE_OWN})


def _version(row: Values) -> VersionSpec:
    return VersionSpec(
        **{name: row[name] for name in _VERSION_OWN},
        model=row["model__name"],
        input_type=row["model__input_type"],
        batching=BatchingSpec(
            controller=row["batching"],
            max_size=row["max_batch_size"],
            wait_ms=row["batch_wait_ms"],
        ),
        replica_bounds=bounds_of(fewest=row["min_replicas"], most=row["max_replicas"]),
    )


def _key(row: Values) -> ApiKeySpec | None:
    expires_at = row["expires_at"]
    if row["revoked_at"] is not None or (expires_at and expires_at <= timezone.now()):
        return None
    return ApiKeySpec(
        id=row["id"],
        name=row["name"],
        digest=row["digest"],
        scopes=scopes_of(*(row[name] for name in _SCOPES)),
        application_ids=row["applications"] if row["bound"] else None,
        expires_at=None if expires_at is None else expires_at.timestamp(),
    )


def _with_routes(rows: Iterable[Values]) -> Iterator[Values]:
    found = list(rows)
    routes: defaultdict[int, list[Values]] = defaultdict(list)
    of_these = Route.objects.filter(application__in=[row["id"] for row in found])
    for route in of_these.order_by("pk").values("application_id", *_ROUTE):
        routes[route["application_id"]].append(route)
    return ({**row, "routes": routes[row["id"]]} for row in found)


def _with_applications(rows: Iterable[Values]) -> Iterator[Values]:
    found = list(rows)
    bound: defaultdict[int, set[int]] = defaultdict(set)
    bindings = ApiKey.applications.through.objects
    of_these = bindings.filter(apikey__in=[row["id"] for row in found])
    for key_id, application_id in of_these.values_list("apikey_id", "application_id"):
        bound[key_id].add(application_id)
    return ({**row, "applications": frozenset(bound[row["id"]])} for row in found)


class _Kind(NamedTuple):
    """Reader of the rows of a kind: their columns, related rows and spec."""

    model: type[Any]
    columns: tuple[str, ...]
    spec: Callable[[Values], Spec | None]
    complete: Callable[[Iterable[Values]], Iterable[Values]] = iter

    def rows(self) -> QuerySet[Any, Any]:
        rows: QuerySet[Any, Any] = self.model._base_manager.values(*self.columns)
        return rows


_KINDS = {
    KEY: _Kind(ApiKey, _KEY, _key, _with_applications),
    APPLICATION: _Kind(Application, _APPLICATION, _complete_application, _with_routes),
    MODEL: _Kind(Model, _MODEL, lambda row: ModelSpec(**row)),
    VERSION: _Kind(ModelVersion, _VERSION, _version),
}


def build_snapshot() -> Snapshot:
    """Read everything, a few hundred rows at a time. Blocking."""
    changes: list[RowChange] = []
    for kind in KINDS:
        after: int | None = 0
        while after is not None:
            reading, after = read_piece(kind, after)
            changes += [RowChange(*row, spec) for row, spec in reading.specs.items()]
    return changed(Snapshot(), in_order(changes))


def application_with_arms(application: Application) -> tuple[ApplicationSpec, dict[str, float]]:
    """Read one application, and the weights of its arms. Raises NotFound."""
    row = _read_anew(application)
    routes = row.routes.with_versions()
    versions = [v for r in routes for v in (r.pinned_version, r.model.live_version) if v]
    spec = application_spec(row)
    arms = arms_of(
        spec,
        versions={version.pk: version_spec(version) for version in versions},
        live={route.model_id: route.model.live_version_id for route in routes},
    )
    return spec, weights_of(arms)


def read_application(application: Application) -> ApplicationSpec:
    """Read one application anew. Raises NotFound if it is gone."""
    return application_spec(_read_anew(application))


def _read_anew(application: Application) -> Application:
    row = Application.objects.with_everything().filter(pk=application.pk).first()
    if row is None:
        raise NotFound(f"There is no application {application.name} any more.")
    return row
