"""Questions of a test to an engine, whose replicas are known beforehand."""

import asyncio
from collections.abc import Iterable

from core.specs import BatchingSpec
from serving.engine.engine import Engine, Target, VersionSettings, digest_of
from serving.engine.gather import ORDINARY, Call, CallOptions, Gather, Trace
from serving.testing.replica import PlayedReplica
from serving.testing.specs import version_spec

VERSION = version_spec(1)
TARGET = Target.of(VERSION)


async def turn() -> None:
    """Let everything that is scheduled run."""
    for _ in range(3):
        await asyncio.sleep(0)


def ask(
    engine: Engine,
    input: bytes,
    *,
    seconds: float = 5.0,
    options: CallOptions = ORDINARY,
    traced: bool = False,
) -> Gather:
    """Ask version 1, to be answered within `seconds`."""
    gather = Gather(calls=1, traced=traced)
    deadline = engine.clock() + seconds
    engine.ask(gather, [TARGET], input=input, deadline=deadline, options=options)
    return gather


def cache_key(input: bytes) -> bytes:
    """Return the key of version 1's answer to this input in an engine's cache."""
    return TARGET.key_prefix + digest_of(input)


def trace_of(gather: Gather, *, index: int = 0) -> Trace:
    """Return the outcome of a call that was asked `traced`; it has to have been answered."""
    trace = gather.traces[index] if gather.traces is not None else None
    if trace is None:
        raise AssertionError(f"expected a trace of call {index}, got {gather.traces}")
    return trace


def new_call(
    input: bytes = b"[1]", *, deadline: float = 1.0, tenant: int = 0, priority: int = 1
) -> Call:
    """A call that one question waits for, as a queue takes it."""
    options = CallOptions(tenant=tenant, priority=priority)
    gather = Gather(calls=1)
    return Call(gather, 0, key=None, input=input, asked_at=0.0, deadline=deadline, options=options)


def batch_by(
    engine: Engine, *, rows: int, wait_ms: float | None = 0.0, answer_within_s: float = 5.0
) -> None:
    """Give every batch of version 1 up to `rows` rows."""
    batching = BatchingSpec(controller="static", max_size=rows, wait_ms=wait_ms)
    engine.configure({1: VersionSettings(batching=batching, answer_within_s=answer_within_s)})


def teach(
    played: PlayedReplica, *, per_row: float, fixed: float = 0.0, sizes: Iterable[int] = (1, 2, 4)
) -> None:
    """Let the replica have shown that a batch takes `fixed + per_row * size` seconds."""
    for _ in range(10):
        for size in sizes:
            seconds = fixed + per_row * size
            played.replica.planner.record(rows=size, seconds=seconds)
