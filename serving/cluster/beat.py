"""A file that is touched as long as a Celery process consumes, for probes of its container."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import redis

from core.redis.redis_client import redis_client

# A loop that turned this long ago goes on; without Redis it waits to connect, and is excused for
# longer than an outage should last.
TURNS_S, EXCUSED_S = 15.0, 600.0
LOOK_S = 5.0


class Beat:
    """Touches the file from a thread that believes the loop alone, or an outage of Redis."""

    def __init__(
        self,
        path: Path,
        *,
        is_redis_away: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._is_redis_away = is_redis_away or _is_away
        self._clock = clock
        self._turned_at = clock()

    def start(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self._run, name="beat", daemon=True).start()

    def turn(self) -> None:
        """Note that the loop turned, and has written what it has to."""
        self._turned_at = self._clock()

    def look(self) -> None:
        silent_s = self._clock() - self._turned_at
        if silent_s < TURNS_S or (silent_s < EXCUSED_S and self._is_redis_away()):
            self._path.touch()

    def _run(self) -> None:
        while True:
            self.look()
            time.sleep(LOOK_S)


def _is_away() -> bool:
    try:
        redis_client().ping()
    except redis.RedisError:
        return True
    return False
