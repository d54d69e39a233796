"""Exchange of arms' reliability between web processes, once a second."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from redis.asyncio import Redis

from selection.reliability import KEEP, TINY, Asked, Reliability
from selection.store.redis_keys import reliability_key
from selection.store.scripts import Script, ScriptCall

# KEYS  reliability
# ARGV  keep, tiny, TTL, most arms, then of each arm its name, how often it was asked, and what that
#       adds to the share of asks missed.
SCRIPT = Script("""
for i = 5, #ARGV, 3 do
  local known = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0')
  local missed = known * tonumber(ARGV[1]) ^ tonumber(ARGV[i + 1]) + tonumber(ARGV[i + 2])
  if missed >= tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[1], ARGV[i], string.format('%.17g', missed))
    redis.call('EXPIRE', KEYS[1], ARGV[3])
  else
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then
  redis.call('UNLINK', KEYS[1])
end
return redis.call('HGETALL', KEYS[1])
""")


class Asks:
    """The reliability of arms as this process knows it: `known`, by application."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.known: defaultdict[int, Reliability] = defaultdict(Reliability)
        self._flushing = asyncio.Lock()

    async def flush(self) -> None:
        """Exchange asks; those that can't be exchanged are kept and the error is raised."""
        async with self._flushing:
            taken = {application: asks.take() for application, asks in self.known.items()}
            if not taken:
                return
            try:
                read = await SCRIPT.run(
                    self._redis, [_call(application, asked) for application, asked in taken.items()]
                )
            except BaseException:  # also a cancelled flush keeps what it took
                for application, asked in taken.items():
                    self.known[application].give_back(asked)
                raise
            for (application, asked), fields in zip(taken.items(), read, strict=True):
                together = parse_missed(dict(zip(fields[::2], fields[1::2], strict=True)))
                self.known[application].merge(together, taken=asked)


def parse_missed(fields: Mapping[bytes, bytes]) -> dict[str, float]:
    """Read the hash: the share of asks that arms missed lately."""
    return {arm.decode(): float(missed) for arm, missed in fields.items()}


def _call(application_id: int, asked: Mapping[str, Asked]) -> ScriptCall:
    # Arms not asked for so long are forgotten, and all arms if there are more than this.
    arguments: list[str | bytes | int] = [repr(KEEP), repr(TINY), 86_400, 512]
    for arm, (asks, missed) in asked.items():
        arguments += [arm, asks, repr(missed)]
    return ScriptCall(keys=[reliability_key(application_id)], arguments=arguments)
