"""Changes that are made to see whether they can be, and then undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from registry.recording import registry_write


@contextmanager
def undone() -> Iterator[None]:
    """Undo all that the block writes, however it ends; nobody else gets to see it."""
    with registry_write:
        yield
        transaction.set_rollback(True)
