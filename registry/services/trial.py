"""Changes that are made to see whether they can be, and then undone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction

from core.errors import Unavailable
from registry.models import Application, Model, ModelVersion

# Which lock of PostgreSQL only one of them holds at a time.
TRIALS = 0x74726961
# After so long PostgreSQL looks for circles (deadlock_timeout, 1 s) and ends one of those in it:
# one of these gives up before, not a change that somebody makes.
GIVES_UP_AFTER_MS = 300
LOCK_NOT_AVAILABLE = "55P03"
RETRY_AFTER_S = 1.0


@contextmanager
def undone(
    *, applications: Collection[str], models: Collection[str], versions: Collection[str]
) -> Iterator[None]:
    """Undo all that the block writes, however it ends; nobody else gets to see it.

    It may change what is named here in any order: all of that is locked before, in the order in
    which everybody does. Raises Unavailable where somebody makes the same row meanwhile.
    """
    with transaction.atomic():
        _lock(applications=applications, models=models, versions=versions)
        try:
            yield
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            raise Unavailable(
                "Somebody else changes what is declared at this moment; try again.",
                retry_after_s=RETRY_AFTER_S,
            ) from error
        transaction.set_rollback(True)


def _lock(
    *, applications: Collection[str], models: Collection[str], versions: Collection[str]
) -> None:
    """SQLite's transactions, which begin with the write lock, follow one another anyway."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [TRIALS])
        for rows in (
            Application.objects.filter(name__in=applications),
            Model.objects.filter(name__in=models),
            ModelVersion.objects.filter(model__name__in=models, version__in=versions),
        ):
            locked = rows.order_by("pk").select_for_update(no_key=True, of=("self",))
            list(locked.values_list("pk"))
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{GIVES_UP_AFTER_MS}ms"])
