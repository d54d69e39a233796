"""Answers that a view wants late are held back; others go at once."""

import asyncio
from typing import Any

from registry.security.throttle import SCOPE_KEY
from serving.endpoints.console.late_answers import with_late_answers
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


async def ask(*asking: Asking) -> list[float]:
    """Ask at once, and return how long each had to wait."""
    application, began = with_late_answers(works_a_second), now()
    await asyncio.gather(*(application(one.scope, one.receive, one.send) for one in asking))
    return [round(one.at - began, 3) for one in asking]


@in_virtual_time
async def test_an_answer_goes_out_when_it_is_due() -> None:
    late, soon, common = Asking(seconds=LATE_S), Asking(seconds=0.5), Asking()
    # Due after half a second, it is there after a second.
    assert await ask(late, soon, common) == [LATE_S, 1.0, 1.0]
    assert late.answer == soon.answer == common.answer == [429, b"no"]


@in_virtual_time
async def test_an_answer_to_nobody_is_let_go() -> None:
    gone = Asking(seconds=60.0)
    gone.leaves.set()
    assert await ask(gone) == [1.0]
