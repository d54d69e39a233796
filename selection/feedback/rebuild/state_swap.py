"""Puts a replayed state in the place of what Redis has, where nothing was counted since."""

from collections.abc import Mapping
from typing import Any

import redis

from core.specs import ApplicationSpec
from selection.feedback.persistence.stream import position_text
from selection.feedback.rebuild.replay import ReplayedContext
from selection.policies.arithmetic.sums import PEOPLE
from selection.store.redis_keys import (
    FEEDBACK,
    POSITION,
    STREAM,
    SUMMED,
    UNTAUGHT_CONTEXT_TTL_S,
    UPDATED,
    contexts_key,
    pack_row,
    pack_vector,
    state_key,
)
from selection.store.scripts import Script, ScriptCall

Fields = Mapping[bytes, bytes]

# KEYS  stream, state, contexts
# ARGV  the last entry expected, '1' to write, context, when it was last used, its TTL, that of a
#       state that holds nothing but counts of queries, how many of what follows are of the state,
#       then its fields and their values, and those of its people.
# Returns what was there of both; counts of queries stay and are not spoken of.
SCRIPT = Script("""
local last = '0-0'
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      last = info[i + 1]
    end
  end
end
if last ~= ARGV[1] then
  return false
end
local people = people_of(KEYS[2])
local rows = redis.call('HGETALL', people)
local all, found, queries = redis.call('HGETALL', KEYS[2]), {}, {}
for i = 1, #all, 2 do
  local kind = string.sub(all[i], 1, #QUERIES) == QUERIES and queries or found
  kind[#kind + 1] = all[i]
  kind[#kind + 1] = all[i + 1]
end
if ARGV[2] ~= '1' then
  return {found, rows}
end
redis.call('DEL', KEYS[2], people)
for i = 1, #queries, 2 do
  redis.call('HSET', KEYS[2], queries[i], queries[i + 1])
end
for i = 8, #ARGV, 2 do
  redis.call('HSET', i < 8 + ARGV[7] and KEYS[2] or people, ARGV[i], ARGV[i + 1])
end
if ARGV[3] ~= '' then
  if #ARGV > 7 then
    redis.call('EXPIRE', KEYS[2], ARGV[5] + EXPIRY_MARGIN_S)
    redis.call('EXPIRE', people, ARGV[5] + EXPIRY_MARGIN_S)
    redis.call('ZADD', KEYS[3], 'GT', ARGV[4], ARGV[3])
  else
    redis.call('EXPIRE', KEYS[2], ARGV[6])
    redis.call('ZREM', KEYS[3], ARGV[3])
  end
end
return {found, rows}
""")


def last_entry(client: redis.Redis) -> str:
    """Return the id of the last entry that the stream ever got, also if it has left again."""
    if not client.exists(STREAM):
        # The last entry of a stream that was never written to.
        return "0-0"
    info: Any = client.xinfo_stream(STREAM)
    return str(info["last-generated-id"].decode())


def fields_of(replayed: ReplayedContext | None) -> dict[bytes, bytes]:
    """Return the hash that the script of feedback would have left; None: nothing was learned."""
    if replayed is None:
        return {}
    fields: dict[str, str | bytes] = {
        f"{statistic}:{arm}": pack_vector(vector)
        for statistic, statistics in replayed.state.sums.items()
        for arm, vector in statistics.items()
    }
    fields |= {FEEDBACK + arm: str(count) for arm, count in replayed.feedback.items()}
    if people := replayed.state.of(PEOPLE):
        fields[SUMMED] = str(len(people))
    fields[UPDATED] = _seconds(replayed.updated_at)
    fields[POSITION] = position_text(replayed.position)
    return {key.encode(): v if isinstance(v, bytes) else v.encode() for key, v in fields.items()}


def rows_of(replayed: ReplayedContext | None) -> dict[bytes, bytes]:
    """Return the hash of its people."""
    table = {} if replayed is None else replayed.state.table
    return {
        str((high << 6) + low).encode(): pack_row(row)
        for high, rows in table.items()
        for low, row in rows.items()
    }


def exchange(
    client: redis.Redis,
    application: ApplicationSpec,
    *,
    states: Mapping[str, ReplayedContext | None],
    expected: str,
    write: bool,
) -> dict[str, bool] | None:
    """Put the states, by context, in place, and say of each whether it had been there already."""
    wanted = {context: (fields_of(state), rows_of(state)) for context, state in states.items()}
    calls = [
        ScriptCall(
            keys=[STREAM, state_key(application.id, context), contexts_key(application.id)],
            arguments=[
                expected,
                "1" if write else "",
                context,
                _seconds(0.0 if (state := states[context]) is None else state.updated_at),
                application.context_ttl_s,
                min(application.context_ttl_s, UNTAUGHT_CONTEXT_TTL_S),
                2 * len(fields),
                *(part for field in (*fields.items(), *rows.items()) for part in field),
            ],
        )
        for context, (fields, rows) in wanted.items()
    ]
    found = SCRIPT.run_blocking(client, calls)
    if any(state is None for state in found):
        return None
    return {
        context: tuple(dict(zip(of[::2], of[1::2], strict=True)) for of in was) == both
        for (context, both), was in zip(wanted.items(), found, strict=True)
    }


def _seconds(moment: float) -> str:
    return f"{moment:.3f}"
