"""Asks one server over connections that are kept, each to an address that was looked at first."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime

from serving.container.remote.configuration import Place
from serving.container.remote.exchange import HttpAnswer, HttpExchange
from serving.container.remote.failures import (
    AnsweredError,
    AnsweredLate,
    BrokenAnswer,
    CannotConnect,
    ClosedWithoutAnswer,
    HostRefused,
    RemoteFailure,
)
from serving.container.remote.hosts import Address, AllowedHosts, address_of, is_public
from serving.container.remote.wording import words_of
from serving.rpc.text import safe_text

# After the first try; whoever answers nobody is tried once until it answers again.
MOST_RETRIES = 2
FIRST_PAUSE_S = 0.05
# Of what a server says of an error, so much is passed on.
WORDS = 500
MASK = "•••"
# A server may have closed what has lain for longer.
KEPT_S = 30.0


class HttpClient:
    """Asks for paths of one server; on one event loop, with at most so many requests at a time."""

    def __init__(
        self,
        place: Place,
        *,
        hosts: AllowedHosts,
        headers: Mapping[str, str],
        secret: str,
        concurrency: int,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.place = place
        self._hosts = hosts
        self._headers = headers
        self._secret = secret
        self._room = asyncio.Semaphore(concurrency)
        self._jitter = jitter
        self._idle: list[tuple[float, HttpExchange]] = []
        self._tls = ssl.create_default_context() if place.secure else None
        self._silent = False

    async def ask(
        self,
        path: str,
        *,
        deadline: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """POST a body, or GET without one; return the answer, whose status is 2xx.

        Tries again what may pass, until the loop's `deadline`. Raises RemoteFailure.
        """
        request = self._request(path, body=body, headers=headers or {})
        async with self._room:
            tries = 1 if self._silent else 1 + MOST_RETRIES
            for tried in range(1, tries + 1):
                try:
                    return await self._once(request, deadline=deadline)
                except RemoteFailure as failure:
                    pause = self._pause(tried, failure=failure)
                    if tried == tries or not failure.passes or _now() + pause >= deadline:
                        raise
                await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def connect(self, *, deadline: float) -> None:
        """Have a connection, of which nothing is asked yet."""
        async with self._room:
            with self._in_time(deadline):
                async with asyncio.timeout_at(deadline):
                    self._keep(await self._open())

    def close(self) -> None:
        for _, exchange in self._idle:
            exchange.close()
        self._idle.clear()

    def _pause(self, tried: int, *, failure: RemoteFailure) -> float:
        """How long to wait for the next try: never the same for all who wait."""
        usual = FIRST_PAUSE_S * 2.0 ** (tried - 1) * (0.5 + self._jitter())
        return max(usual, failure.after_s)

    async def _once(self, request: bytes, *, deadline: float) -> HttpAnswer:
        with self._in_time(deadline):
            async with asyncio.timeout_at(deadline):
                answer = await self._exchanged(request)
        self._silent = False
        if not 200 <= answer.status < 300:
            raise self._error(answer)
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise BrokenAnswer(
                f"{self.place.name} sent a compressed answer, which wasn't asked for"
            )
        return answer

    def _in_time(self, deadline: float) -> _Late:
        return _Late(self.place.name, seconds=deadline - _now())

    async def _exchanged(self, request: bytes) -> HttpAnswer:
        while (exchange := self._kept()) is not None:
            # What was kept may have been closed at this moment: that says nothing of the server.
            with suppress(ClosedWithoutAnswer):
                return await self._asked(exchange, request)
        return await self._asked(await self._open(), request)

    async def _asked(self, exchange: HttpExchange, request: bytes) -> HttpAnswer:
        try:
            answer = await exchange.ask(request)
        except BaseException:
            exchange.close()  # what it would still say belongs to this request
            raise
        self._keep(exchange)
        return answer

    def _kept(self) -> HttpExchange | None:
        """The connection used last; those that lay for long go."""
        oldest = time.monotonic() - KEPT_S
        while self._idle:
            since, exchange = self._idle.pop()
            if not exchange.closed and since > oldest:
                return exchange
            exchange.close()
        return None

    def _keep(self, exchange: HttpExchange) -> None:
        if not exchange.closed:
            self._idle.append((time.monotonic(), exchange))

    async def _open(self) -> HttpExchange:
        """Connect to an address that the name leads to now and that is allowed."""
        failure: Exception | None = None
        for address in await self._addresses():
            try:
                return await self._dialled(address)
            except (OSError, ssl.SSLError) as error:
                failure = error
        self._silent = True
        raise CannotConnect(f"cannot connect to {self.place.name}: {_reason(failure)}")

    async def _dialled(self, address: Address) -> HttpExchange:
        _, exchange = await asyncio.get_running_loop().create_connection(
            lambda: HttpExchange(to=self.place.name),
            str(address),
            self.place.port,
            ssl=self._tls,
            server_hostname=self.place.host if self._tls else None,
        )
        return exchange

    async def _addresses(self) -> list[Address]:
        """Those of the host that may be asked, looked up now. Raises HostRefused for none."""
        host, port = self.place.host, self.place.port
        self._hosts.check_host(host, port=port)
        literal = address_of(host)
        found = [literal] if literal is not None else await self._looked_up()
        allowed: list[Address] = []
        refusal: HostRefused | None = None
        for address in found:
            try:
                self._hosts.check_address(address, host=host, port=port)
                self._check_secrecy(address)
            except HostRefused as error:
                refusal = error
            else:
                allowed.append(address)
        if not allowed and refusal is not None:
            raise refusal
        return allowed

    def _check_secrecy(self, address: Address) -> None:
        if self._secret and not self.place.secure and is_public(address):
            raise HostRefused(
                f"{self.place.name} is a public address: a secret goes there over https alone"
            )

    async def _looked_up(self) -> list[Address]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                self.place.host, self.place.port, type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError) as error:
            self._silent = True
            raise CannotConnect(
                f"cannot connect to {self.place.name}: its name can't be looked up: "
                f"{_reason(error)}"
            ) from error
        addresses = [address_of(str(sockaddr[0])) for *_, sockaddr in found]
        return [address for address in dict.fromkeys(addresses) if address is not None]

    def _request(self, path: str, *, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        given = {"Host": self.place.netloc, "User-Agent": "clipper", "Accept": "application/json"}
        if body is not None:
            given |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        given |= headers
        given |= self._headers
        method = "GET" if body is None else "POST"
        lines = [f"{method} {self.place.at(path).target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in given.items()]
        return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + (body or b"")

    def _error(self, answer: HttpAnswer) -> AnsweredError:
        if 300 <= answer.status < 400:
            said = "a redirect, which isn't followed"
        else:
            said = self._masked(_words(answer.body)) or "without a word"
        return AnsweredError(
            f"{self.place.name} answered {answer.status}: {said}",
            status=answer.status,
            after_s=_after_s(answer.headers.get("retry-after", "")),
        )

    def _masked(self, text: str) -> str:
        """A server may quote what it was sent."""
        return text.replace(self._secret, MASK) if self._secret else text


class _Late:
    """Turns a time that ran out into what callers are told."""

    def __init__(self, name: str, *, seconds: float) -> None:
        self._name = name
        self._ms = max(0.0, seconds) * 1000.0

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TimeoutError) and not isinstance(error, RemoteFailure):
            raise AnsweredLate(f"{self._name} gave no answer within {self._ms:.0f} ms") from error


def _words(body: bytes) -> str:
    """What a server says of an error, in one line: its message where it is where most have it."""
    return safe_text(" ".join(words_of(body[: 64 << 10]).split()), most=WORDS)


def _after_s(text: str) -> float:
    """Read Retry-After: seconds, or a date of HTTP."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    return 0.0


def _reason(error: Exception | None) -> str:
    if error is None:
        return "it has no address"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't trusted: {error.verify_message}"
    return safe_text(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _now() -> float:
    return asyncio.get_running_loop().time()
