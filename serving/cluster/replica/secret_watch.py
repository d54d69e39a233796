"""Has a remote version's replica take up another secret soon after the registry has it."""

import logging
import threading
from collections.abc import Callable
from typing import Self

from django.db import Error as DatabaseError
from django.db import connections

from registry.models import ModelVersion
from registry.security.sealing import Unsealable, unseal

LOOK_EACH_S = 2.0

logger = logging.getLogger(__name__)


class SecretWatch:
    """Looks at a version's secret every other second, in a thread of its own."""

    def __init__(self, *, version_id: int, sealed: str, take_up: Callable[[str], None]) -> None:
        """`sealed` is the secret that the replica has."""
        self._version_id = version_id
        self._sealed = sealed
        self._take_up = take_up
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="secret", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(LOOK_EACH_S):
            try:
                self._look()
            except (DatabaseError, Unsealable) as error:
                logger.warning("secret not taken up version=%d: %s", self._version_id, error)
            finally:
                connections.close_all()

    def _look(self) -> None:
        found = ModelVersion.objects.filter(pk=self._version_id)
        sealed = found.values_list("secret", flat=True).first()
        if sealed is None or sealed == self._sealed:
            return
        self._sealed = sealed
        self._take_up(unseal(sealed))
        logger.info("another secret taken up version=%d", self._version_id)
