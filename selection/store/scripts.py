"""Lua scripts that change selection state: each runs whole, and a request's calls together."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from selection.policies.arithmetic.person_sums import BOTH, BOTH_WIDTH, PRIOR, SUMS, SUMS_WIDTH
from selection.policies.arithmetic.sums import CHANGED, CHANGED_FROM, REWARDS
from selection.store.redis_keys import (
    EVICTED_AT_ONCE,
    EXPIRY_MARGIN_S,
    FEEDBACK,
    PEOPLE,
    POSITION,
    QUERIES,
    STATES,
    SUMMED,
    UPDATED,
)

# Constants that scripts and Python share, under the same names.
CONSTANTS = f"""
local FEEDBACK, QUERIES, UPDATED, POSITION = '{FEEDBACK}', '{QUERIES}', '{UPDATED}', '{POSITION}'
local REWARDS, SUMS, BOTH, SUMMED = '{REWARDS.name}', '{SUMS}:', '{BOTH}:', '{SUMMED}'
local SUMS_FORMAT, BOTH_FORMAT = '<{"d" * SUMS_WIDTH}', '<{"d" * BOTH_WIDTH}'
local PRIOR, CHANGED_FROM, CHANGED = {PRIOR}, {CHANGED_FROM}, {CHANGED}
local EVICTED_AT_ONCE, EXPIRY_MARGIN_S = {EVICTED_AT_ONCE}, {EXPIRY_MARGIN_S}
-- The key of the people of a state, given its key.
local function people_of(state)
  return '{PEOPLE}' .. string.sub(state, {len(STATES) + 1})
end
"""


class ScriptCall(NamedTuple):
    """KEYS and ARGV of one call of a script."""

    keys: Sequence[str]
    arguments: Sequence[str | bytes | int]


class Script:
    """A script that Redis knows by its digest; one that doesn't know it yet is sent its text."""

    def __init__(self, text: str) -> None:
        self._text = CONSTANTS + text
        self.sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis: Redis, calls: Sequence[ScriptCall]) -> list[Any]:
        """Make the calls in one transaction and return their results in order."""
        results = await self._attempt(redis, calls)
        if any(isinstance(result, NoScriptError) for result in results):
            # Redis was restarted, or is new to us: no call of the transaction found the script.
            await redis.script_load(self._text)
            results = await self._attempt(redis, calls)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results

    def run_blocking(self, client: redis.Redis, calls: Sequence[ScriptCall]) -> list[Any]:
        """Make the calls in one transaction, where waiting is allowed: tasks, pages, commands."""
        with client.pipeline(transaction=True) as pipe:
            pipe.script_load(self._text)
            for keys, arguments in calls:
                pipe.evalsha(self.sha, len(keys), *keys, *arguments)
            return list(pipe.execute())[1:]

    async def _attempt(self, redis: Redis, calls: Sequence[ScriptCall]) -> list[Any]:
        async with redis.pipeline(transaction=True) as pipe:
            for keys, arguments in calls:
                pipe.execute_command("EVALSHA", self.sha, len(keys), *keys, *arguments)
            return list(await pipe.execute(raise_on_error=False))
