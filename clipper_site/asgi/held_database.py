"""Keeps an SQLite database readable on a disk that fills up later."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import quote

from django.db import connection

logger = logging.getLogger(__name__)


@contextmanager
def held_open() -> Iterator[None]:
    """Keep an SQLite database open while the block lasts, if it can be opened.

    The first to open one makes files beside it, for which a full disk has no room, and the last to
    close it removes them: each page of the console would do both.
    """
    with ExitStack() as held:
        if connection.vendor == "sqlite":
            name = f"file:{quote(str(connection.settings_dict['NAME']))}?mode=rw"
            try:
                # It is closed by whichever thread ends the process's work.
                database = sqlite3.connect(name, uri=True, check_same_thread=False)
                held.enter_context(closing(database))
                # SQLite opens its files with the first question; no transaction stays behind.
                database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            except sqlite3.Error as error:
                logger.warning("the database is not held open: %s", error)
        yield
