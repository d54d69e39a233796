"""Has a remote version's replica take up another secret, as soon as the registry has it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import redis
from django.db import Error as DatabaseError
from django.db import connections
from redis.client import PubSub

from core.changes import CHANGES_CHANNEL, VERSION, may_name
from core.log_once import LogOnce
from registry.models import ModelVersion
from registry.sealing import Unsealable, unseal

# A notice may be lost.
LOOK_EACH_S = 30.0
PAUSE_AFTER_FAILURE_S = HEARS_OF_ITS_END_S = 0.5

logger = logging.getLogger(__name__)


@runtime_checkable
class SendsSecret(Protocol):
    """A predictor whose server is sent a secret."""

    def take_up(self, secret: str) -> None:
        """Send this one from now on; called in another thread."""


class SecretWatch:
    """Looks at a version's secret whenever the version has changed, in a thread of its own."""

    def __init__(
        self,
        *,
        version_id: int,
        sealed: str,
        take_up: Callable[[str], None],
        client: redis.Redis,
    ) -> None:
        """`sealed` is the secret that the replica has."""
        self._version_id = version_id
        self._sealed = sealed
        self._take_up = take_up
        self._client = client
        self._log_once = LogOnce(
            logger,
            away=f"no word of another secret version={version_id}",
            back=f"word of another secret again version={version_id}",
        )
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="secret", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._listen()
            except redis.RedisError as error:
                self._log_once.began(error)
                self._over.wait(PAUSE_AFTER_FAILURE_S)

    def _listen(self) -> None:
        with self._client.pubsub(ignore_subscribe_messages=True) as notices:
            notices.subscribe(CHANGES_CHANNEL)
            self._log_once.ended()
            while not self._over.is_set():
                self._look()
                self._wait(notices)

    def _wait(self, notices: PubSub) -> None:
        """Until the version has changed, or may have without a word."""
        until = time.monotonic() + LOOK_EACH_S
        while not self._over.is_set() and time.monotonic() < until:
            notice = notices.get_message(timeout=HEARS_OF_ITS_END_S)
            if notice and may_name(notice["data"], kind=VERSION, row_id=self._version_id):
                return

    def _look(self) -> None:
        try:
            found = ModelVersion.objects.filter(pk=self._version_id)
            sealed = found.values_list("secret", flat=True).first()
        except DatabaseError as error:
            logger.warning("secret not read version=%d: %s", self._version_id, error)
            return
        finally:
            connections.close_all()
        if sealed is None or sealed == self._sealed:
            return
        self._sealed = sealed
        try:
            self._take_up(unseal(sealed))
        except Unsealable as error:
            logger.warning("secret not taken up version=%d: %s", self._version_id, error)
        else:
            logger.info("another secret taken up version=%d", self._version_id)
