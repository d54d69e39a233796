"""A sample of inputs is kept for those who asked for it: recent, fair and bounded."""

import redis
from redis.asyncio import Redis

from selection.store.input_samples import (
    ROWS,
    InputSamples,
    kept_inputs,
)

APPLICATION, ARM = 7, "svm:1"
KEY = f"clipper:input-sample:{APPLICATION}:{ARM}"


class Sampling:
    """Samples whose time a test puts forward."""

    def __init__(self, aredis: Redis) -> None:
        self.now = 0.0
        self.samples = InputSamples(aredis, clock=lambda: self.now)

    def ask(self, input: bytes, *, output: bytes = b"1", arm: str = ARM) -> None:
        self.samples.offer(APPLICATION, input=input, outputs={arm: output})

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds
        await self.samples.flush()


def kept(client: redis.Redis, *, most: int = 10_000) -> list[tuple[bytes, bytes]]:
    return kept_inputs(client, application_id=APPLICATION, arm=ARM, most=most)


async def test_one_row_of_each_turn_is_kept_and_turns_are_longer_once_there_are_enough(
    aredis: Redis, stream: redis.Redis
) -> None:
    sampling = Sampling(aredis)
    for number in range(ROWS):
        sampling.ask(b"%d" % number)
        await sampling.pass_time(1.0)
    assert [int(input) for input, _ in kept(stream)] == list(range(ROWS))
    sampling.ask(b"next")
    await sampling.pass_time(28.0)
    assert kept(stream, most=1) == [(b"%d" % (ROWS - 1), b"1")]
    await sampling.pass_time(2.0)
    assert kept(stream, most=1) == [(b"next", b"1")]
    assert stream.llen(KEY) == ROWS


async def test_rows_are_bounded_in_bytes_together_and_each(
    aredis: Redis, stream: redis.Redis
) -> None:
    sampling = Sampling(aredis)
    largest = b"x" * ((64 << 10) - 1)
    for _ in range((4 << 20) // (64 << 10) + 5):
        sampling.ask(largest)
        await sampling.pass_time(1.0)
    size = len(stream.lrange(KEY, 0, 0)[0])
    assert (4 << 20) - size < int(
        stream.get(f"clipper:input-sample-bytes:{APPLICATION}:{ARM}") or 0
    )
    assert stream.llen(KEY) == (4 << 20) // size
    sampling.ask(largest + b"xx")
    await sampling.pass_time(1.0)
    assert kept(stream, most=1)[0][0] == largest


async def test_who_is_asked_no_more_takes_no_memory(aredis: Redis, stream: redis.Redis) -> None:
    sampling = Sampling(aredis)
    sampling.ask(b"[1]")
    await sampling.pass_time(0.0)
    await sampling.pass_time(1.0)
    sampling.ask(b"[2]")
    await sampling.pass_time(0.0)  # a turn that begins anew is due at once
    assert [input for input, _ in kept(stream)] == [b"[1]", b"[2]"]
