"""Writes observations to Redis: each counted once, and durable when `append` returns.

One script per observation marks its nonce as seen, appends the event to the stream, and moves the
state, all of it or nothing; a request's observations go in one transaction. An append-only Redis
with `appendfsync always` answers only when its file has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import msgspec
from redis.asyncio import Redis

from selection.feedback.events import FeedbackEvent
from selection.scripts import Call, Script
from selection.storage import CONTEXT_TTL_S, GLOBAL_CONTEXT, STREAM, seen_key, state_key

# KEYS  seen, stream, state, global state (the same key in the global context)
# ARGV  seen TTL, event, now, state TTL (0: none), number of arms, then the arms whose weights
#       must exist, then pairs of an arm that has a loss and what to add to its log-weight.
# An arm without a weight joins at the mean of the present ones; a context without any weights
# starts from the global ones. Present weights are only ever added to: no update is lost.
SCRIPT = Script("""
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1]) then
  return 0
end
redis.call('XADD', KEYS[2], '*', 'event', ARGV[2])
local state, last = KEYS[3], 5 + tonumber(ARGV[5])
local fields = {}
for i = 6, last do
  fields[#fields + 1] = WEIGHT .. ARGV[i]
end

local function known(key)
  local weights, sum, present = redis.call('HMGET', key, unpack(fields)), 0, 0
  for _, weight in ipairs(weights) do
    if weight then
      sum = sum + tonumber(weight)
      present = present + 1
    end
  end
  return weights, sum, present
end

if #fields > 0 then
  local weights, sum, present = known(state)
  if present == 0 then
    weights, sum, present = known(KEYS[4])
  end
  local mean = '0'
  if present > 0 then
    mean = string.format('%.17g', sum / present)
  end
  for i, field in ipairs(fields) do
    redis.call('HSETNX', state, field, weights[i] or mean)
  end
end
for i = last + 1, #ARGV, 2 do
  if ARGV[i + 1] ~= '0' then
    redis.call('HINCRBYFLOAT', state, WEIGHT .. ARGV[i], ARGV[i + 1])
  end
  redis.call('HINCRBY', state, FEEDBACK .. ARGV[i], 1)
end
if #ARGV > last then
  redis.call('HSET', state, UPDATED, ARGV[3])
  if ARGV[4] ~= '0' then
    redis.call('EXPIRE', state, ARGV[4])
  end
end
if #fields == 0 then
  return {}
end
return redis.call('HMGET', state, unpack(fields))
""")
# The mark outlives the feedback window, so that no clock's drift lets a receipt count twice.
SEEN_MARGIN_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """An event, and what it does to the state of its context.

    `arms` are those that must have a weight before the `deltas` are added; each arm of `deltas`
    is counted as having had feedback. Both are empty where nothing is to move.
    """

    nonce: bytes
    event: FeedbackEvent
    arms: tuple[str, ...]
    deltas: Mapping[str, float]
    window_s: int


class FeedbackJournal:
    """Appends observations; says of each whether it was counted or seen before."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._encode = msgspec.msgpack.Encoder().encode

    async def append(self, observations: Sequence[Observation]) -> list[Mapping[str, float] | None]:
        """Return, in order, the log-weights that each left, or None where it was seen before.

        Errors of Redis come through: the observations may or may not have been counted then.
        """
        if not observations:
            return []
        results = await SCRIPT.run(self._redis, [self._call(one) for one in observations])
        return [_left(one, result) for one, result in zip(observations, results, strict=True)]

    def _call(self, observation: Observation) -> Call:
        event = observation.event
        return Call(
            keys=[
                seen_key(observation.nonce),
                STREAM,
                state_key(event.application_id, event.context),
                state_key(event.application_id, GLOBAL_CONTEXT),
            ],
            arguments=[
                observation.window_s + SEEN_MARGIN_S,
                self._encode(event),
                f"{event.received_at_ms / 1000:.3f}",
                0 if event.context == GLOBAL_CONTEXT else CONTEXT_TTL_S,
                len(observation.arms),
                *observation.arms,
                *chain.from_iterable(
                    (arm, repr(delta) if delta else "0")
                    for arm, delta in observation.deltas.items()
                ),
            ],
        )


def _left(observation: Observation, result: object) -> Mapping[str, float] | None:
    if not isinstance(result, list):
        return None
    return {arm: float(weight) for arm, weight in zip(observation.arms, result, strict=True)}
