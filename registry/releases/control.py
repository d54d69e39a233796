"""The control worker's last round, whose age Redis tells by the note's time to live."""

import os
import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import msgspec
import redis
import redis.asyncio

from core.redis.redis_client import redis_client

KEY = "clipper:control"
# So long is it known how old the last round is.
KEPT_S = 7 * 86_400.0
# By kind of device: what to do where no slot is free.
REMEDIES: Mapping[str, str] = {
    "cpu": "Scale another model down (to 0 if nobody needs it), raise CLIPPER_CPU_SLOTS, or start "
    "another worker.",
    "gpu": "Scale another model down (to 0 if nobody needs it), raise CLIPPER_GPU_SLOTS (one a "
    "GPU), or start a GPU worker on another host.",
}
# What stands still meanwhile, in the words of whoever reads it.
CONSEQUENCE = "no release advances, no replica is replaced, no feedback reaches the database"


class Slots(msgspec.Struct, frozen=True, kw_only=True):
    """Slots of all workers for one device, and replicas by arm that have one or wait for one."""

    total: int
    replicas: dict[str, int] = {}

    @property
    def taken(self) -> int:
        return sum(self.replicas.values())

    @property
    def free(self) -> int:
        return max(0, self.total - self.taken)

    @property
    def holders(self) -> str:
        """Name those with most replicas first: `tree:1 x 4, svm:2 x 3`."""
        ranked = sorted(self.replicas.items(), key=lambda item: (-item[1], item[0]))
        named = [f"{arm} x {count}" for arm, count in ranked[:20]]
        more = len(ranked) - len(named)
        return ", ".join([*named, f"{more} more"] if more else named)


NO_SLOTS: Mapping[str, Slots] = MappingProxyType({})


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One round; `error` is "" if it succeeded, `slots` are by device."""

    host: str
    pid: int
    error: str = ""
    slots: dict[str, Slots] = {}


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """The last round of the control worker, and its age if one is known."""

    age_s: float | None
    last: Round | None = None

    @property
    def problem(self) -> str:
        """Return what is wrong with it, "" for nothing."""
        if self.age_s is None or self.last is None:
            return f"No control worker has been heard of: {CONSEQUENCE}."
        # Rounds are a second apart, and one may take five on a machine that has other things to do.
        if self.age_s > 10.0:
            who = f"process {self.last.pid} on {self.last.host}"
            return f"The control worker ({who}) is silent for {self.age_s:.0f} s: {CONSEQUENCE}."
        if self.last.error:
            return f"The control worker's rounds fail: {self.last.error}"
        return ""


_decoder = msgspec.json.Decoder(Round)


def note_round(
    client: redis.Redis, *, error: str = "", slots: Mapping[str, Slots] = NO_SLOTS
) -> None:
    """Note that a round was done, in vain if there is an `error`."""
    done = Round(host=socket.gethostname(), pid=os.getpid(), error=error, slots=dict(slots))
    client.set(KEY, msgspec.json.encode(done), px=int(KEPT_S * 1000))


def read_control(client: redis.Redis | None = None) -> Control:
    """Return the control worker's state, blocking. Raises redis.RedisError."""
    with (client or redis_client()).pipeline(transaction=True) as pipe:
        pipe.get(KEY)
        pipe.pttl(KEY)
        text, left_ms = cast("tuple[bytes | None, int]", pipe.execute())
    return _control(text, left_ms=left_ms)


async def read_control_async(client: redis.asyncio.Redis) -> Control:
    """Return what `read_control` does, without blocking."""
    async with client.pipeline(transaction=True) as pipe:
        pipe.get(KEY)
        pipe.pttl(KEY)
        text, left_ms = await pipe.execute()
    return _control(text, left_ms=left_ms)


def _control(text: bytes | None, *, left_ms: int) -> Control:
    if text is None:
        return Control(age_s=None)
    return Control(age_s=max(0.0, KEPT_S - left_ms / 1000), last=_decoder.decode(text))
