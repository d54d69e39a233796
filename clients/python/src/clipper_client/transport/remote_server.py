"""The server as the clients see it: requests with retries, blocking or on an event loop."""

import asyncio
import os
import random
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from inspect import isawaitable
from itertools import count
from pathlib import Path
from threading import Lock, Thread
from typing import Any, ClassVar, TypeVar

import httpx
import msgspec
import websockets.asyncio.client
import websockets.sync.client
from websockets.exceptions import WebSocketException

from clipper_client.clipper_error import ClipperError

DEFAULT_URL = "http://127.0.0.1:8000"
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Address:
    """URL and API key of a server; the environment has the defaults of both."""

    def __init__(self, url: str | None, *, key: str | None) -> None:
        self.url = (url or os.environ.get("CLIPPER_URL") or DEFAULT_URL).rstrip("/")
        self.key = key if key is not None else os.environ.get("CLIPPER_KEY")
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"Expected an address that starts with http, got {self.url!r}.")
        if self.key and not (self.key.isascii() and self.key.isprintable()):
            raise ValueError("Expected a key of printable ASCII characters.")

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Api-Key {self.key}"} if self.key else {}

    def socket(self, path: str) -> str:
        return "ws" + self.url.removeprefix("http") + path

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Raise ClipperError for whatever keeps a request or a message from being answered."""
        try:
            yield
        except httpx.InvalidURL as error:
            raise ValueError(f"Expected an address, got {self.url!r}: {error}") from error
        except (httpx.HTTPError, WebSocketException, OSError) as error:
            never_sent = isinstance(error, _NEVER_SENT)
            if isinstance(error, httpx.TimeoutException | TimeoutError) and not never_sent:
                raise ClipperError(f"{self.url} didn't answer in time.", code="timeout") from error
            raise ClipperError(
                f"Can't reach Clipper at {self.url}: {error or type(error).__name__}.",
                code="unreachable",
                details={"never_sent": never_sent},
            ) from error


T = TypeVar("T")
Operation = Coroutine[Any, Any, T]

CONNECT_S = 5.0
# So many more outlast a restart of the server, or a minute without a network.
MORE_RETRIES = 6
# With these 503 says that nothing was begun; others may come after a write whose answer was lost.
NOTHING_BEGUN = ("saturated", "not_ready", "process_away")
JSON = {"content-type": "application/json"}


@contextmanager
def _opened(form: Mapping[str, str], file: Path | None) -> Iterator[dict[str, Any]]:
    """Yield httpx's arguments for a multipart form, if there is one; its file is open meanwhile."""
    # Nothing may happen for two minutes between two pieces.
    timeout = httpx.Timeout(120.0, connect=CONNECT_S)
    if not form:
        yield {}
    elif file is None:
        # A form without a file would be sent in another encoding.
        parts = [(name, (None, value)) for name, value in form.items()]
        yield {"files": parts, "timeout": timeout}
    else:
        with file.open("rb") as opened:
            files = {"artifact": (file.name, opened, "application/octet-stream")}
            yield {"data": dict(form), "files": files, "timeout": timeout}


class Server(ABC):
    """One Clipper; subclasses say how to wait, and how to do several things at once."""

    blocks: ClassVar[bool] = False
    # An httpx client, a function that opens a websocket, and a class of locks.
    _http: Any
    _connect: Callable[..., Any]
    lock: Callable[[], Any]
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
        form: Mapping[str, str] | None = None,
        file: Path | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        extra_time_s: float = 0.0,
        patient: bool = False,
    ) -> httpx.Response:
        """Return a successful response. Raises ClipperError with the server's words for any other.

        A request is sent again if the server says later, or if nothing can have come of it; a
        `repeatable` one also if its connection broke. `extra_time_s` is added to the timeout.
        """
        read_s = self.timeout_s + extra_time_s
        arguments: dict[str, Any] = {
            "method": method,
            "url": path,
            "headers": {**(JSON if body is not None else {}), **(headers or {})},
            "timeout": httpx.Timeout(read_s, connect=min(CONNECT_S, read_s)),
            "content": body,
        } | ({"params": dict(params)} if params else {})
        retries = self._retries + MORE_RETRIES * patient
        for attempt in count():
            try:
                with self.address.failures(), _opened(form or {}, file) as upload:
                    response = await self._send(arguments | upload)
                if response.is_success:
                    return response
                raise refusal(response)
            except ClipperError as error:
                if attempt >= retries or not _may_repeat(error, repeatable):
                    raise
                pause_s = pause_of(attempt, retry_after_s=error.retry_after_s)
            await settled(self.sleep(pause_s))
        raise AssertionError("the last attempt returns or raises")

    async def in_order(
        self, operations: Iterable[Operation[T]], *, at_once: int
    ) -> AsyncGenerator[T]:
        """Run operations, a few at once, and yield results in order; none goes on after the end."""
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
        await settled(self._http.close() if self.blocks else self._http.aclose())

    async def connect(self, path: str) -> Any:
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
        self.lock, self.sleep = Lock, time.sleep

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
        self.lock, self.sleep = asyncio.Lock, asyncio.sleep

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
    """Draw a pause from a range that doubles, on top of what the server asks for; at most 30 s."""
    spread: float = 0.1 * 2**attempt * random.random()  # noqa: S311
    return min(30.0, (retry_after_s or 0.0) + spread)


def json_of(response: httpx.Response) -> Any:
    try:
        return msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _no_clipper(response) from None


def refusal(response: httpx.Response) -> ClipperError:
    """Return the error of a response that isn't 2xx."""
    found = json_of(response) if response.content.startswith(b"{") else None
    if not isinstance(found, dict) or "error" not in found:
        return _no_clipper(response)
    return ClipperError(
        str(found["error"]),
        code=str(found.get("code", "unexpected_answer")),
        status=response.status_code,
        details=found.get("details") or {},
        retry_after_s=_retry_after(response),
    )


def _no_clipper(response: httpx.Response) -> ClipperError:
    return ClipperError(
        f"Expected an answer of Clipper, got status {response.status_code}: "
        f"{response.content[:80]!r}.",
        code="unexpected_answer",
        status=response.status_code,
        retry_after_s=_retry_after(response),
    )


def _may_repeat(error: ClipperError, repeatable: bool) -> bool:
    if error.status not in (429, 503) and error.code != "unreachable":
        return False
    nothing_begun = error.status == 429 or error.code in NOTHING_BEGUN
    return repeatable or nothing_begun or bool(error.details.get("never_sent"))


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        return None
