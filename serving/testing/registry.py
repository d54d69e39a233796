"""A registry in memory, for what follows one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.changes import Ids
from core.specs import Snapshot
from registry.row_changes import Known, Piece, RowChange, RowPlace, Spec, differences, in_order
from serving.web.registry_follower import RegistrySource


def registry_of(read: Callable[[], Snapshot]) -> RegistrySource:
    """Return a source of rows that are what `read` returns at that moment; it is one piece."""

    def rows() -> dict[tuple[str, int], Spec]:
        everything = differences(Snapshot(), read())
        return {(kind, row_id): spec for kind, row_id, spec, *_ in everything if spec is not None}

    def read_rows(ids: Ids, *, known: Known) -> list[RowChange]:
        there = rows()
        asked = ((kind, row_id) for kind, numbers in ids.items() for row_id in numbers)
        return in_order(
            RowChange(*row, spec, None if spec is None else (spec,))
            for row in asked
            for spec in (there.get(row),)
            if spec is not None or row[1] in known[row[0]]
        )

    def compare(place: RowPlace, *, known: Known) -> Piece:
        return Piece(in_order(_different(rows(), known)), None)

    return RegistrySource(read_rows=read_rows, compare=compare)


def _different(there: dict[tuple[str, int], Spec], known: Known) -> Iterator[RowChange]:
    for (kind, row_id), spec in there.items():
        if known[kind].get(row_id) != (spec,):
            yield RowChange(kind, row_id, spec, (spec,))
    for kind, rows in known.items():
        for row_id in rows:
            if (kind, row_id) not in there:
                yield RowChange(kind, row_id, None)
