"""A registry in memory, for what follows one."""

from collections.abc import Callable

from core.specs import Snapshot
from registry.following.row_changes import Piece, RowKey, RowReading, Spec, specs_by_row
from serving.web.registry_follower import RegistrySource


def registry_of(read: Callable[[], Snapshot]) -> RegistrySource:
    """Return a source of the rows that `read` returns at that moment."""

    rows: dict[RowKey, Spec] = {}

    def last_number() -> int:
        rows.clear()
        rows.update(specs_by_row(read()))
        return 0

    def read_piece(kind: str, after: int) -> Piece:
        return Piece(RowReading(specs={row: rows[row] for row in rows if row[0] == kind}), None)

    return RegistrySource(last_number=last_number, read_newer=lambda _: None, read_piece=read_piece)
