"""All rows of one database copied into another, and compared by count and digest."""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import DatabaseError, connections, models, transaction
from django.db.models.functions import Cast

from clipper_site.backups.work_progress import Say, WorkProgress
from core.errors import Conflict

ROWS_AT_ONCE = 5_000
# A migration fills these by itself; their rows give way to those of the source.
FILLED = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}
AS_THEY_ARE = (int, str, float, bool, type(None))

Row = tuple[Any, ...]


@dataclass(slots=True)
class TableSum:
    """Number of a table's rows, and a digest that neither their order nor a database changes."""

    rows: int = 0
    digest: int = 0

    def add(self, rows: Sequence[Row], *, json_at: Collection[int]) -> None:
        for row in rows:
            values = [
                _canonical_json(value) if at in json_at and value else _canonical(value)
                for at, value in enumerate(row)
            ]
            digest = hashlib.blake2b(repr(values).encode(), digest_size=16).digest()
            self.digest = (self.digest + int.from_bytes(digest, "big")) % (1 << 128)
        self.rows += len(rows)

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.digest:032x}"


@cache
def copied_models() -> list[type[models.Model]]:
    """Return the model of each table, the tables between two models included."""
    found = apps.get_models(include_auto_created=True)
    return [model for model in found if model._meta.managed and not model._meta.proxy]


def counts_of(alias: str) -> dict[str, int]:
    """Return the number of rows of each table."""
    return {m._meta.db_table: _all(m, using=alias).count() for m in copied_models()}


def add_database(alias: str, config: dict[str, Any]) -> None:
    """Make another database known to this process by an alias, and give it the tables of now."""
    known: Any = connections
    known.settings[alias] = known.configure_settings({**known.settings, alias: config})[alias]
    call_command("migrate", database=alias, verbosity=0, interactive=False, skip_checks=True)


def copy_rows(source: str, *, target: str, say: Say) -> dict[str, TableSum]:
    """Copy all rows into a migrated, empty database, or none; return the sums by table.

    Raises Conflict if the target has rows, refuses one, or has another sum than the source.
    """
    total = sum(counts_of(source).values())
    # Foreign keys are looked at when it is committed, so that no order of tables matters.
    with transaction.atomic(using=target), connections[target].cursor() as cursor:
        for table, count in counts_of(target).items():
            if count and table not in FILLED:
                raise Conflict(f"Expected an empty database, but its table {table} has rows.")
        for model in copied_models():
            if model._meta.db_table in FILLED:
                _all(model, using=target)._raw_delete(using=target)  # noqa: SLF001  (no cascade)
        progress = WorkProgress(task="copied", unit="rows", total=total, say=say)
        sums = {m: _copy(m, source, target, progress=progress) for m in copied_models()}
        for reset in connections[target].ops.sequence_reset_sql(no_style(), copied_models()):
            cursor.execute(reset)
        progress = WorkProgress(task="compared", unit="rows", total=total, say=say)
        for model, expected in sums.items():
            found = TableSum()
            for rows in _read(model, using=target):
                found.add(rows, json_at=_json_at(model))
                progress.add(len(rows))
            if found != expected:
                raise Conflict(
                    f"The new table {model._meta.db_table} differs: expected {expected}, "
                    f"got {found}. Nothing was kept."
                )
    return {model._meta.db_table: found for model, found in sums.items()}


def _copy(
    model: type[models.Model], source: str, target: str, *, progress: WorkProgress
) -> TableSum:
    connection, taken, table = connections[target], TableSum(), model._meta.db_table
    fields, quote = model._meta.local_concrete_fields, connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    # Names are the model's own; all values are parameters.
    statement = f"INSERT INTO {quote(table)} ({columns}) VALUES ({marks})"  # noqa: S608
    copying = f"COPY {quote(table)} ({columns}) FROM STDIN"

    def prepared(field: models.Field[Any, Any], value: Any) -> Any:
        plain = isinstance(value, AS_THEY_ARE)
        return value if plain else field.get_db_prep_save(value, connection)

    with connection.cursor() as cursor:
        for rows in _read(model, using=source):
            taken.add(rows, json_at=_json_at(model))
            values = [list(map(prepared, fields, row)) for row in rows]
            try:
                if connection.vendor == "postgresql":  # many rows a message
                    with connection.wrap_database_errors, cursor.copy(copying) as copy:
                        for each in values:
                            copy.write_row(each)
                else:
                    cursor.executemany(statement, values)
            except (DatabaseError, ValueError) as error:
                raise Conflict(f"The new table {table} refuses a row: {error}") from error
            progress.add(len(rows))
    return taken


def _read(model: type[models.Model], *, using: str) -> Iterator[list[Row]]:
    """Yield the rows in pieces; JSON is its text, as null of JSON is another null than SQL's."""
    columns = [
        Cast(field.attname, models.TextField()) if at in _json_at(model) else field.attname
        for at, field in enumerate(model._meta.local_concrete_fields)
    ]
    found = _all(model, using=using).values_list(*columns).iterator(chunk_size=ROWS_AT_ONCE)
    while rows := list(islice(found, ROWS_AT_ONCE)):
        yield rows


@cache
def _json_at(model: type[models.Model]) -> Collection[int]:
    fields = enumerate(model._meta.local_concrete_fields)
    return {at for at, field in fields if isinstance(field, models.JSONField)}


def _all(model: type[models.Model], *, using: str) -> models.QuerySet[Any]:
    return model._base_manager.using(using).order_by()


def _canonical(value: Any) -> Any:
    if isinstance(value, float):
        return value + 0.0  # -0.0 becomes 0.0, as SQLite keeps it
    if isinstance(value, datetime):
        return value.isoformat()
    return bytes(value) if isinstance(value, memoryview) else value


def _canonical_json(text: str) -> str:
    """Return JSON as neither the order of keys nor the way to write a number changes it."""
    if text in ("[]", "{}"):
        return text
    return json.dumps(json.loads(text, parse_float=_number), sort_keys=True)


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number
