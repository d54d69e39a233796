"""Errors of the database: full, or not there."""

import sqlite3
from pathlib import Path

from django.db import connections

from core.errors import ClipperError, InsufficientStorage, Unavailable
from registry.artifacts.disk_space import free_bytes

# What SQLite says where a file couldn't grow, or for any other reason.
PERHAPS_FULL = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
POSTGRESQL_DISK_FULL = "53100"


def database_error(error: BaseException) -> ClipperError:
    """Return a database's error as ours."""
    if is_full(error):
        return InsufficientStorage(
            "The disk of the database is full: nothing was saved. Make room on it and try again."
        )
    return Unavailable("The database can't be reached or is busy; try again.")


def is_full(error: BaseException) -> bool:
    """Say whether this error, or one that it came from, is of a full disk."""
    cause: BaseException | None = error
    while cause is not None and not _says_full(cause):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def _says_full(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        database = Path(str(connections["default"].settings_dict["NAME"]))
        # SQLite needs more room to open a database that nobody else has open.
        return kind == sqlite3.SQLITE_FULL or (
            kind in PERHAPS_FULL and free_bytes(database) < 64 << 10
        )
    return getattr(error, "sqlstate", None) == POSTGRESQL_DISK_FULL
