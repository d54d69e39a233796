"""The server as the clients see it: requests with retries, blocking or on an event loop.

Each operation is written once, as a coroutine over a `Server`. The plain client runs it over a
`BlockingServer`, of which nothing ever suspends: see `run`.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future, wait
from inspect import isawaitable
from itertools import count
from threading import Event, Thread
from typing import Any, ClassVar, TypeVar

import httpx
import msgspec
import websockets.asyncio.client
import websockets.sync.client

from clipper_client.errors import UNEXPECTED_ANSWER, UNREACHABLE, ClipperError
from clipper_client.transport.address import Address
from clipper_client.transport.upload import Upload

T = TypeVar("T")
Operation = Coroutine[Any, Any, T]

CONNECT_S = 5.0
# The server's Retry-After counts up to here.
LONGEST_PAUSE_S = 30.0
FIRST_PAUSE_S = 0.1
LATER = (429, 503)
# With these 503 says that nothing was begun; others may come after a write whose answer was lost.
NOTHING_BEGUN = ("saturated", "not_ready", "process_away")
JSON = {"content-type": "application/json"}


class Server(ABC):
    """One Clipper; subclasses say how to wait, and how to do several things at once."""

    blocks: ClassVar[bool] = False
    # An httpx client, a function that opens a websocket, and a class of events.
    _http: Any
    _connect: Callable[..., Any]
    event: Callable[[], Any]
    sleep: Callable[[float], Any]

    def __init__(self, address: Address, *, timeout_s: float, retries: int) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._retries = retries

    async def json(self, method: str, path: str, **options: Any) -> Any:
        """Return the JSON that a request is answered with, None without a body."""
        response = await self.ask(method, path, **options)
        return json_of(response) if response.content else None

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        upload: Upload | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        extra_time_s: float = 0.0,
        more_retries: int = 0,
    ) -> httpx.Response:
        """Return a successful response. Raises ClipperError with the server's words for any other.

        A request is sent again if the server said later, or if nothing can have come of it;
        `repeatable` ones, of which a second does no more than the first, also if it broke off.
        `extra_time_s` is added to the client's timeout.
        """
        read_s = self.timeout_s + extra_time_s
        arguments: dict[str, Any] = {
            "method": method,
            "url": path,
            "headers": {**(JSON if body is not None else {}), **(headers or {})},
            "timeout": httpx.Timeout(read_s, connect=min(CONNECT_S, read_s)),
            "content": body,
        } | ({"params": dict(params)} if params else {})
        for attempt in count():
            try:
                with self.address.failures(), (upload or Upload()).opened() as files:
                    response = await self._send(arguments | files)
                self.address.check(response)
                if response.is_success:
                    return response
                raise refusal(response)
            except ClipperError as error:
                if attempt >= self._retries + more_retries or not _may_repeat(error, repeatable):
                    raise
                pause_s = pause_of(attempt, retry_after_s=error.retry_after_s)
            await settled(self.sleep(pause_s))
        raise AssertionError("the last attempt returns or raises")

    async def in_order(
        self, operations: Iterable[Operation[T]], *, at_once: int
    ) -> AsyncGenerator[T]:
        """Run many operations, a few at once, and yield their results in order.

        None goes on after the end, unless that is Ctrl-C, after which nobody waits for answers.
        """
        running: deque[Any] = deque()
        try:
            for operation in operations:
                running.append(self._start(operation))
                if len(running) >= at_once:
                    yield await _result(running.popleft())
            while running:
                yield await _result(running.popleft())
        except KeyboardInterrupt:
            running.clear()
            raise
        finally:
            await self._end(running)

    async def _send(self, arguments: dict[str, Any]) -> httpx.Response:
        response: httpx.Response = await settled(self._http.request(**arguments))
        return response

    async def close(self) -> None:
        """Close the connections."""
        await settled(self._http.close() if self.blocks else self._http.aclose())

    async def connect(self, path: str) -> Any:
        """Open a websocket."""
        connecting = self._connect(
            self.address.socket(path),
            additional_headers=self.address.headers,
            open_timeout=self.timeout_s,
            max_size=None,
            proxy=None,
        )
        if self.blocks:
            return connecting.__enter__()
        return await connecting.__aenter__()

    @abstractmethod
    async def receive(self, socket: Any) -> str | bytes: ...

    @abstractmethod
    async def work(self, call: Callable[[], T]) -> T:
        """Do something that takes its time, such as saving a model."""

    @abstractmethod
    def _start(self, operation: Operation[T]) -> Any: ...

    @abstractmethod
    async def _end(self, running: Iterable[Any]) -> None: ...


class BlockingServer(Server):
    """Waits in the caller's thread, so that no coroutine over it ever suspends."""

    blocks = True

    def __init__(self, address: Address, *, timeout_s: float, retries: int) -> None:
        super().__init__(address, timeout_s=timeout_s, retries=retries)
        self._http = httpx.Client(base_url=address.url, headers=address.headers)
        self._connect = websockets.sync.client.connect
        self.event, self.sleep = Event, time.sleep

    async def receive(self, socket: Any) -> str | bytes:
        text: str | bytes = socket.recv(timeout=self.timeout_s)
        return text

    async def work(self, call: Callable[[], T]) -> T:
        return call()

    def _start(self, operation: Operation[T]) -> Future[T]:
        """Run an operation in a thread that doesn't keep a program from ending."""
        result: Future[T] = Future()

        def fill() -> None:
            try:
                result.set_result(run(operation))
            except BaseException as error:  # noqa: BLE001 - raised where the result is taken
                result.set_exception(error)

        Thread(target=fill, name="clipper", daemon=True).start()
        return result

    async def _end(self, running: Iterable[Future[Any]]) -> None:
        wait(running)


class AsyncServer(Server):
    """Waits on the event loop."""

    def __init__(self, address: Address, *, timeout_s: float, retries: int) -> None:
        super().__init__(address, timeout_s=timeout_s, retries=retries)
        self._http = httpx.AsyncClient(base_url=address.url, headers=address.headers)
        self._connect = websockets.asyncio.client.connect
        self.event, self.sleep = asyncio.Event, asyncio.sleep

    async def receive(self, socket: Any) -> str | bytes:
        text: str | bytes = await asyncio.wait_for(socket.recv(), self.timeout_s)
        return text

    async def work(self, call: Callable[[], T]) -> T:
        return await asyncio.to_thread(call)

    def _start(self, operation: Operation[T]) -> asyncio.Task[T]:
        return asyncio.create_task(operation)

    async def _end(self, running: Iterable[asyncio.Task[Any]]) -> None:
        for unwanted in running:
            unwanted.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _result(started: Any) -> Any:
    return started.result() if isinstance(started, Future) else await started


async def settled(found: Any) -> Any:
    """Return what a call gave: at once if it has waited already."""
    return await found if isawaitable(found) else found


def run(operation: Operation[T]) -> T:
    """Return the result of a coroutine over a BlockingServer: one step runs all of it."""
    try:
        operation.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("nothing of a BlockingServer suspends")


def pause_of(attempt: int, *, retry_after_s: float | None) -> float:
    """Draw a pause from a range that doubles, on top of what the server asks for."""
    spread: float = FIRST_PAUSE_S * 2**attempt * random.random()  # noqa: S311
    return min(LONGEST_PAUSE_S, (retry_after_s or 0.0) + spread)


def json_of(response: httpx.Response) -> Any:
    try:
        return msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _no_clipper(response) from None


def refusal(response: httpx.Response) -> ClipperError:
    """Return what a response that isn't 2xx says."""
    found = json_of(response) if response.content.startswith(b"{") else None
    if not isinstance(found, dict) or "error" not in found:
        return _no_clipper(response)
    return ClipperError(
        str(found["error"]),
        code=str(found.get("code", UNEXPECTED_ANSWER)),
        status=response.status_code,
        details=found.get("details") or {},
        retry_after_s=_retry_after(response),
    )


def _no_clipper(response: httpx.Response) -> ClipperError:
    shown = response.content[:80].decode(errors="replace")
    return ClipperError(
        f"Expected an answer of Clipper, got status {response.status_code}: {shown!r}; "
        "is the address that of a Clipper?",
        code=UNEXPECTED_ANSWER,
        status=response.status_code,
        retry_after_s=_retry_after(response),
    )


def _may_repeat(error: ClipperError, repeatable: bool) -> bool:
    if error.status not in LATER and error.code != UNREACHABLE:
        return False
    nothing_begun = error.status == 429 or error.code in NOTHING_BEGUN
    return repeatable or nothing_begun or bool(error.details.get("never_sent"))


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        return None
