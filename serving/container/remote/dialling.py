"""Connects to the first of several addresses that answers: one begun soon after the other, so that
one which answers nobody doesn't take the time of the others (RFC 8305).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain, zip_longest
from typing import Protocol, TypeVar

from serving.container.remote.hosts import Address

# The next one is begun when those before it have failed, or after so long (RFC 8305, section 5).
NEXT_AFTER_S = 0.25
# Of all addresses that a name leads to.
MOST_ADDRESSES = 16


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


def in_turns(addresses: Iterable[Address]) -> list[Address]:
    """The same addresses, both families in turns, that of the first one first; as many as count."""
    found = list(addresses)
    of_first = [address for address in found if address.version == found[0].version]
    others = [address for address in found if address.version != found[0].version]
    turns = chain.from_iterable(zip_longest(of_first, others))
    return [address for address in turns if address is not None][:MOST_ADDRESSES]


async def first_connected(
    addresses: Sequence[Address],
    *,
    dial: Callable[[Address], Awaitable[C]],
    next_after_s: float = NEXT_AFTER_S,
) -> C:
    """Return the connection that is there first; the others are given up.

    Raises what the last one failed with; OSError where there is no address.
    """
    left = deque(addresses)
    dialling: set[asyncio.Future[C]] = set()
    failure: BaseException = OSError("it has no address")
    try:
        while left or dialling:
            if left:
                dialling.add(asyncio.ensure_future(dial(left.popleft())))
            ended, _ = await asyncio.wait(
                dialling,
                timeout=next_after_s if left else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in ended:
                dialling.discard(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                failure = error
        raise failure
    finally:
        for attempt in dialling:
            _give_up(attempt)


def _give_up(attempt: asyncio.Future[C]) -> None:
    """Also where it has just succeeded."""
    attempt.cancel()
    attempt.add_done_callback(_close)


def _close(attempt: asyncio.Future[C]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
