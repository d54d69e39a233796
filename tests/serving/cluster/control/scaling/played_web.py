"""Publishes numbers as a web process does, for those that read them."""

import json
import time
from typing import Any

import redis

from serving.engine.stats import LATENCY_BOUNDS
from serving.metrics.published import INDEX, KEY_PREFIX


class Web:
    """A web process that publishes what it has counted of one version."""

    def __init__(self, client: redis.Redis, *, now: float, arm: str = "svm:1") -> None:
        self.now = now
        self._arm = arm
        self._client = client
        self._waits = [0] * (len(LATENCY_BOUNDS) + 1)
        self._busy_s = 0.0

    def second(self, *, waited_s: float | None = None, busy_s: float = 0.0) -> None:
        """One in which a hundred queries waited for so long."""
        self.now += 1
        if waited_s is not None:
            index = next(i for i, bound in enumerate(LATENCY_BOUNDS) if bound >= waited_s)
            self._waits[index] += 100
        self._busy_s += busy_s
        version = {
            "queue_seconds": {"counts": self._waits, "total": 0.0},
            "model_seconds": {"counts": [], "total": self._busy_s},
            **dict.fromkeys(("expired", "saturated", "overloaded", "waiting", "hits"), 0),
        }
        self.publish({self._arm: version})

    def publish(self, versions: dict[str, Any]) -> None:
        document = {"id": "web-1", "at": self.now, "versions": versions, "applications": {}}
        self._client.set(f"{KEY_PREFIX}web-1", json.dumps(document))
        self._client.zadd(INDEX, {"web-1": time.time() + 60})

    def die(self) -> None:
        self._client.delete(f"{KEY_PREFIX}web-1")
