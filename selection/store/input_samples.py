"""A bounded sample in Redis of inputs and the arms' answers, for applications that keep any."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import msgspec
import redis
from redis.asyncio import Redis

from selection.store.redis_keys import input_sample_bytes_key, input_sample_key
from selection.store.scripts import Script, ScriptCall

# Most rows of one arm in one application.
ROWS = 100

# KEYS  the rows, their bytes
# ARGV  most rows, most bytes, TTL, the row
# Returns how many rows there are.
SCRIPT = Script("""
local rows, total = KEYS[1], KEYS[2]
local count = redis.call('RPUSH', rows, ARGV[4])
local bytes = redis.call('INCRBY', total, #ARGV[4])
while count > tonumber(ARGV[1]) or (count > 0 and bytes > tonumber(ARGV[2])) do
  bytes = redis.call('DECRBY', total, #redis.call('LPOP', rows))
  count = count - 1
end
redis.call('EXPIRE', rows, ARGV[3])
redis.call('EXPIRE', total, ARGV[3])
return count
""")

# An input as it came, and the output, which is JSON.
Row = tuple[bytes, bytes]
Arm = tuple[int, str]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Row).decode


class InputSamples:
    """The candidates of this process: one row for each arm, which waits until it is due."""

    def __init__(self, redis: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._turns: dict[Arm, _Turn] = {}

    @property
    def waiting(self) -> int:
        """The number of arms with a row to be written, or a turn to wait for."""
        return len(self._turns)

    def offer(self, application_id: int, *, input: bytes, outputs: Mapping[str, bytes]) -> None:
        """Consider a query for the sample; `outputs` are those of its arms."""
        for arm, output in outputs.items():
            # Larger inputs aren't kept.
            if len(input) + len(output) <= 64 << 10:
                turn = self._turns.get((application_id, arm))
                if turn is None:
                    turn = self._turns[application_id, arm] = _Turn(self._clock())
                turn.row = (input, output)

    async def flush(self) -> None:
        """Write what is due. A row that Redis doesn't take is given up: others will come."""
        now = self._clock()
        due = {arm: turn for arm, turn in self._turns.items() if turn.due <= now}
        taken = {arm: turn.row for arm, turn in due.items()}
        for arm, row in taken.items():
            due[arm].row = None
            if row is None:  # nobody has asked it since: what is gone shall not stay in memory
                del self._turns[arm]
        calls = [
            ScriptCall(
                keys=[input_sample_key(*arm), input_sample_bytes_key(*arm)],
                arguments=[ROWS, 4 << 20, 86_400, _encode(row)],
            )
            for arm, row in taken.items()
            if row is not None
        ]
        if calls:
            counts = await SCRIPT.run(self._redis, calls)
            kept = [turn for arm, turn in due.items() if taken[arm] is not None]
            for turn, count in zip(kept, counts, strict=True):
                # One query a second is kept until there are enough rows, then one in 30.
                turn.due = now + (1.0 if count < ROWS else 30.0)


@dataclass(slots=True)
class _Turn:
    """The last row that was offered, and when it is due."""

    due: float
    row: Row | None = None


def kept_inputs(client: redis.Redis, *, application_id: int, arm: str, most: int) -> list[Row]:
    """The latest inputs that are kept, with what the arm answered. Errors of Redis come through."""
    rows = client.lrange(input_sample_key(application_id, arm), -most, -1)
    return [_decode(row) for row in cast("list[bytes]", rows)]
