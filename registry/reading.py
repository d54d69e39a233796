"""Reads rows of the registry, as few as are asked for, into what the prediction path knows of them.

Blocking: call it in a thread. The SQL is made once by the ORM, and its rows are taken as they come:
instances of models would cost thirty times as much.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from django.db import DataError, connection
from django.db.models import Model as DjangoModel
from django.utils import timezone

from core.changes import APPLICATION, KEY, MODEL, VERSION, Ids
from core.specs import ApiKeySpec, ApplicationSpec, BatchingSpec, ModelSpec, RouteSpec, VersionSpec
from registry.models import ApiKey, Application, Model, ModelVersion, Route
from registry.models.access import scopes_of
from registry.models.applications import Priority
from registry.models.models import bounds_of
from registry.row_changes import (
    KINDS,
    Known,
    Piece,
    Row,
    RowChange,
    RowPlace,
    Spec,
    UnreadableRow,
    in_order,
)

# Rows of one question: a comparison takes about a millisecond of the interpreter for each piece.
PIECE = 200
# What a driver, a decoder or a spec makes of a value that was written past the ORM: psycopg calls a
# time in no year that Python has an error of the data. Other errors of databases are none of these.
BROKEN = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, DataError)
MOST_OF_A_FAULT = 200
PRIORITIES = tuple(Priority.values)


class Columns(NamedTuple):
    """What is read of a kind: the fields of its spec that a row has by their names, and others."""

    model: type[DjangoModel]
    copied: tuple[str, ...]
    others: tuple[str, ...] = ()


class RowSpan(NamedTuple):
    """Which rows: those with these ids, or those after one id up to another."""

    ids: tuple[int, ...] | None = None
    after: int = 0
    until: int | None = None

    def where(self, column: str) -> tuple[str, list[int]]:
        if self.ids is not None:
            return f"{column} IN ({', '.join(['%s'] * len(self.ids))})", list(self.ids)
        if self.until is None:
            return f"{column} > %s", [self.after]
        return f"{column} > %s AND {column} <= %s", [self.after, self.until]


def read_rows(ids: Ids, *, known: Known) -> list[RowChange]:
    """Read these rows anew, and what follows from them; return those that aren't as they were."""
    asked = {kind: set(ids.get(kind, ())) for kind in KINDS}
    found: list[RowChange] = []
    # Another one of the first may be followed by others of the later kinds.
    for kind in (MODEL, APPLICATION, VERSION, KEY):
        changes = list(_named(kind, asked[kind], known))
        for change in changes:
            for other, row_id in _following(change, known=known):
                asked[other].add(row_id)
        found += changes
    return in_order(found)


def compare(place: RowPlace, *, known: Known) -> Piece:
    """Compare the next rows with how they were, and say where to go on."""
    kind, after = place
    rows = _read(kind, RowSpan(after=after))
    until = max(rows) if len(rows) == PIECE else None
    gone = [
        row_id
        # A copy: a key may be dropped in between.
        for row_id in list(known[kind])
        if row_id > after and (until is None or row_id <= until) and row_id not in rows
    ]
    changes = [
        *_changes(kind, rows, known=known),
        *(RowChange(kind, row_id, None) for row_id in gone),
    ]
    if until is not None:
        return Piece(changes, RowPlace(kind, until))
    last = kind == KINDS[-1]
    return Piece(changes, None if last else RowPlace(KINDS[KINDS.index(kind) + 1]))


def _named(kind: str, ids: Collection[int], known: Known) -> Iterator[RowChange]:
    wanted = sorted(ids)
    for first in range(0, len(wanted), PIECE):
        some = tuple(wanted[first : first + PIECE])
        rows = _read(kind, RowSpan(ids=some))
        yield from _changes(kind, rows, known=known)
        yield from (
            RowChange(kind, row_id, None)
            for row_id in some
            if row_id not in rows and row_id in known[kind]
        )


def _changes(kind: str, rows: Mapping[int, Row], *, known: Known) -> Iterator[RowChange]:
    before = known[kind]
    for row_id, row in rows.items():
        if before.get(row_id) != row:
            yield _change(kind, row_id, row)


def _change(kind: str, row_id: int, row: Row) -> RowChange:
    if isinstance(row, UnreadableRow):
        return RowChange(kind, row_id, None, row, row.why)
    try:
        return RowChange(kind, row_id, _SPECS[kind](row), row)
    except BROKEN as error:
        return RowChange(kind, row_id, None, row, _why(error))


def _read(kind: str, span: RowSpan) -> dict[int, Row]:
    """Read these rows; where one of them can't be, each by itself."""
    try:
        return dict(_ROWS[kind](span, limit=PIECE))
    except BROKEN:
        read: dict[int, Row] = {}
        for row_id in _ids(_OF_KIND[kind], span, limit=PIECE):
            try:
                read |= _ROWS[kind](RowSpan(ids=(row_id,)), limit=PIECE)
            except BROKEN as error:
                read[row_id] = UnreadableRow(_why(error))
        return read


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MOST_OF_A_FAULT]


def _following(change: RowChange, *, known: Known) -> Iterator[tuple[str, int]]:
    """Return what else is another one with this change, though its own row is the same."""
    if change.kind == APPLICATION and change.row is None:
        # The keys that were bound to it.
        for key_id, (_, bound_to, _) in list(known[KEY].items()):
            if change.id in bound_to:
                yield KEY, key_id
    before = known[MODEL].get(change.id) if change.kind == MODEL else None
    if before is not None and change.row is not None and before[1:3] != change.row[1:3]:
        # Versions and routes say how the model is called, and what it takes.
        for kind, attribute in ((VERSION, "versions"), (APPLICATION, "routes__application")):
            numbers = Model.objects.filter(pk=change.id).values_list(attribute, flat=True)
            yield from ((kind, row_id) for row_id in numbers if row_id is not None)


# --- what a kind's rows are ---------------------------------------------------------------------


def _own(spec: Any, *, but: Collection[str]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(spec) if field.name not in but)


_OF_APPLICATION = Columns(
    Application,
    _own(
        ApplicationSpec,
        but=("slo_ms", "slo_target", "default_output", "policy_params", "priority", "routes"),
    ),
    ("slo__latency_ms", "slo__target", "default_output", "policy_params", "priority"),
)
_OF_VERSION = Columns(
    ModelVersion,
    _own(VersionSpec, but=("model", "input_type", "batching", "replica_bounds")),
    (
        *("model__name", "model__input_type", "batching", "max_batch_size", "batch_wait_ms"),
        *("min_replicas", "max_replicas"),
    ),
)
_OF_MODEL = Columns(Model, _own(ModelSpec, but=()))
_OF_KEY = Columns(
    ApiKey,
    ("id", "name", "digest"),
    ("can_predict", "can_feedback", "can_read", "can_manage", "bound", "expires_at", "revoked_at"),
)
_OF_ROUTE = Columns(
    Route,
    ("application_id", "id"),
    ("model_id", "model__name", "role", "weight", "pinned_version_id"),
)
_OF_BINDING = Columns(ApiKey.applications.through, ("apikey_id", "application_id"))


def _application_rows(span: RowSpan, *, limit: int) -> Iterator[tuple[int, Row]]:
    rows = _rows(_OF_APPLICATION, span, limit=limit)
    routes = _grouped(_rows(_OF_ROUTE, _of_these(rows, span, limit=limit)))
    yield from ((row[0], (row, tuple(sorted(routes[row[0]])))) for row in rows)


def _key_rows(span: RowSpan, *, limit: int) -> Iterator[tuple[int, Row]]:
    rows = _rows(_OF_KEY, span, limit=limit)
    bindings = _grouped(_rows(_OF_BINDING, _of_these(rows, span, limit=limit)))
    now = timezone.now()
    for row in rows:
        *_, expires_at, revoked_at = row
        usable = revoked_at is None and (expires_at is None or _moment(expires_at) > now)
        bound_to = frozenset(binding[1] for binding in bindings[row[0]])
        yield row[0], (row, bound_to, usable)


def _plain_rows(columns: Columns) -> Callable[..., Iterator[tuple[int, Row]]]:
    def read(span: RowSpan, *, limit: int) -> Iterator[tuple[int, Row]]:
        yield from ((row[0], row) for row in _rows(columns, span, limit=limit))

    return read


def _application(row: Row) -> ApplicationSpec | None:
    values, routes = row
    slo_ms, slo_target, default, params, priority = values[len(_OF_APPLICATION.copied) :]
    if slo_ms is None:  # it is just being made
        return None
    return ApplicationSpec(
        **dict(zip(_OF_APPLICATION.copied, values, strict=False)),
        slo_ms=slo_ms,
        slo_target=slo_target,
        default_output=default.encode() if default else None,
        policy_params=MappingProxyType(json.loads(params)),
        priority=PRIORITIES.index(priority),
        routes=tuple(_route(route) for route in routes),
    )


def _route(row: Row) -> RouteSpec:
    model_id, model, role, weight, pinned_version_id = row[2:]
    return RouteSpec(
        model_id=model_id,
        model=model,
        role=role,
        weight=weight,
        pinned_version_id=pinned_version_id,
    )


def _version(row: Row) -> VersionSpec:
    name, input_type, controller, size, wait_ms, fewest, most = row[len(_OF_VERSION.copied) :]
    return VersionSpec(
        **dict(zip(_OF_VERSION.copied, row, strict=False)),
        model=name,
        input_type=input_type,
        batching=BatchingSpec(controller=controller, max_size=size, wait_ms=wait_ms),
        replica_bounds=bounds_of(fewest=fewest, most=most),
    )


def _model(row: Row) -> ModelSpec:
    return ModelSpec(**dict(zip(_OF_MODEL.copied, row, strict=True)))


def _key(row: Row) -> ApiKeySpec | None:
    (key_id, name, digest, *flags, bound, expires_at, _), bound_to, usable = row
    if not usable:
        return None
    return ApiKeySpec(
        id=key_id,
        name=name,
        digest=digest,
        scopes=scopes_of(*flags),
        application_ids=bound_to if bound else None,
        expires_at=None if expires_at is None else _moment(expires_at).timestamp(),
    )


_ROWS: Mapping[str, Callable[..., Iterator[tuple[int, Row]]]] = {
    KEY: _key_rows,
    VERSION: _plain_rows(_OF_VERSION),
    MODEL: _plain_rows(_OF_MODEL),
    APPLICATION: _application_rows,
}
_OF_KIND = {KEY: _OF_KEY, VERSION: _OF_VERSION, MODEL: _OF_MODEL, APPLICATION: _OF_APPLICATION}
_SPECS: Mapping[str, Callable[[Row], Spec | None]] = {
    KEY: _key,
    VERSION: _version,
    MODEL: _model,
    APPLICATION: _application,
}


# --- SQL ----------------------------------------------------------------------------------------


@cache
def _statement(columns: Columns) -> tuple[str, str]:
    """The SQL that reads all rows, and the column by which some are chosen: the first."""
    names = (*columns.copied, *columns.others)
    rows = columns.model._base_manager.order_by().values_list(*names)
    quoted = connection.ops.quote_name
    column = f"{quoted(columns.model._meta.db_table)}.{quoted(names[0])}"
    return rows.query.sql_with_params()[0], column


def _rows(columns: Columns, span: RowSpan, *, limit: int | None = None) -> list[Row]:
    sql, column = _statement(columns)
    where, parameters = span.where(column)
    end = "" if limit is None else f" ORDER BY {column} LIMIT {limit}"
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} WHERE {where}{end}", parameters)
        return list(cursor.fetchall())


def _ids(columns: Columns, span: RowSpan, *, limit: int) -> list[int]:
    _, column = _statement(columns)
    where, parameters = span.where(column)
    table = column.rpartition(".")[0]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {column} FROM {table} WHERE {where} ORDER BY {column} LIMIT {limit}",  # noqa: S608
            parameters,
        )
        return [row[0] for row in cursor.fetchall()]


def _of_these(rows: list[Row], span: RowSpan, *, limit: int) -> RowSpan:
    """What belongs to these rows, which were all of this span up to the limit."""
    if span.ids is not None or len(rows) < limit:
        return span
    return span._replace(until=rows[-1][0])


def _grouped(rows: Iterable[Row]) -> defaultdict[int, list[Row]]:
    """The rows by what they belong to, which they begin with."""
    found: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row)
    return found


def _moment(value: datetime) -> datetime:
    """A time as databases have it: SQLite knows no zones, and keeps UTC."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)
