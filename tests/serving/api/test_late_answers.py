"""Answers that a view wants late are held back, a bounded number of them; others go at once."""

from __future__ import annotations

import asyncio
from typing import Any

from registry.throttle import SCOPE_KEY
from serving.api.late_answers import with_late_answers
from serving.http.asgi import Receive, Scope, Send, send_body
from serving.testing.clock import in_virtual_time

LATE_S = 2.0


class Asking:
    """One request, and when its answer came."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.scope = {"seconds": seconds}
        self.leaves = asyncio.Event()
        self.answer: list[Any] = []
        self.at = 0.0

    async def receive(self) -> Any:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.answer.append(message.get("status", message.get("body")))
        self.at = now()


def now() -> float:
    return asyncio.get_running_loop().time()


async def works_a_second(scope: Scope, receive: Receive, send: Send) -> None:
    """The view, which has answered after a second, as far as it is concerned."""
    await asyncio.sleep(1)
    scope[SCOPE_KEY].seconds = scope["seconds"]
    await send_body(send, b"no", status=429)


async def ask(*asking: Asking, most: int = 10) -> list[float]:
    """Ask at once, and return how long each had to wait."""
    application, began = with_late_answers(works_a_second, most=most), now()
    await asyncio.gather(*(application(one.scope, one.receive, one.send) for one in asking))
    return [round(one.at - began, 3) for one in asking]


@in_virtual_time
async def test_an_answer_goes_out_when_it_is_due() -> None:
    late, soon, common = Asking(seconds=LATE_S), Asking(seconds=0.5), Asking()
    # Due after half a second, it is there after a second.
    assert await ask(late, soon, common) == [LATE_S, 1.0, 1.0]
    assert late.answer == soon.answer == common.answer == [429, b"no"]


@in_virtual_time
async def test_who_has_waited_longest_goes_where_too_many_wait() -> None:
    application, began = with_late_answers(works_a_second, most=3), now()
    asking = [Asking(seconds=LATE_S) for _ in range(5)]

    async def ask_later(number: int) -> None:
        await asyncio.sleep(0.1 * number)
        await application(asking[number].scope, asking[number].receive, asking[number].send)

    await asyncio.gather(*map(ask_later, range(5)))
    # The fourth is there after 1.3 s, the fifth after 1.4.
    assert [round(one.at - began, 3) for one in asking] == [1.3, 1.4, 2.2, 2.3, 2.4]


@in_virtual_time
async def test_of_many_at_the_same_moment_as_many_wait() -> None:
    asking = [Asking(seconds=LATE_S) for _ in range(9)]
    assert sorted(await ask(*asking, most=3)) == [1.0] * 6 + [LATE_S] * 3


@in_virtual_time
async def test_who_leaves_frees_the_place() -> None:
    application = with_late_answers(works_a_second, most=1)
    gone, next_one = Asking(seconds=60.0), Asking(seconds=LATE_S)
    gone.leaves.set()
    came = now()
    await application(gone.scope, gone.receive, gone.send)
    assert (began := now()) == came + 1
    await application(next_one.scope, next_one.receive, next_one.send)
    assert round(next_one.at - began, 3) == LATE_S
