"""Asks one server over connections that are kept, each to an address that was looked at first."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import msgspec

from serving.container.remote.configuration import Place
from serving.container.remote.dialling import first_connected, in_turns
from serving.container.remote.exchange import LARGEST_BODY, HttpAnswer, HttpExchange
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
JSON_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
BEARER = "Authorization"
# A server may have closed what has lain for longer.
KEPT_S = 30.0


@dataclass(frozen=True, slots=True)
class ServerSecret:
    """What goes along with every request: under a header of this name, else as a bearer."""

    value: str = field(default="", repr=False)
    header: str = ""

    @property
    def headers(self) -> Mapping[str, str]:
        if not self.value:
            return {}
        return {self.header: self.value} if self.header else {BEARER: f"Bearer {self.value}"}

    def masked(self, text: str) -> str:
        """A server may quote what it was sent."""
        return text.replace(self.value, MASK) if self.value else text

    def masked_in(self, output: bytes) -> bytes:
        """Mask the secret in the strings of an output, which msgspec has encoded as JSON."""
        if not self.value or msgspec.json.encode(self.value)[1:-1] not in output:
            return output
        return JSON_STRING.sub(
            lambda found: msgspec.json.encode(self.masked(msgspec.json.decode(found[0]))), output
        )


class HttpClient:
    """Asks for paths of one server; on one event loop, with at most so many requests at a time."""

    def __init__(
        self,
        place: Place,
        *,
        hosts: AllowedHosts,
        secret: ServerSecret,
        concurrency: int,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.place = place
        self._hosts = hosts
        self.secret = secret
        self._room = asyncio.Semaphore(concurrency)
        self._jitter = jitter
        self._idle: list[tuple[float, HttpExchange, ServerSecret]] = []
        self._tls = ssl.create_default_context() if place.secure else None
        self._silent = False

    async def ask(
        self,
        path: str,
        *,
        deadline: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        most: int = LARGEST_BODY,
    ) -> HttpAnswer:
        """POST a body, or GET without one; return the answer, whose status is 2xx.

        Its body may have `most` bytes.

        Tries again what may pass, until the loop's `deadline`. Raises RemoteFailure.
        """
        async with self._room:
            tries = 1 if self._silent else 1 + MOST_RETRIES
            for tried in range(1, tries + 1):
                secret = self.secret  # another one holds from the next try on
                request = self._request(
                    path, body=body, headers={**(headers or {}), **secret.headers}
                )
                try:
                    return await self._once(request, deadline=deadline, secret=secret, most=most)
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
                    secret = self.secret
                    self._keep(await self._open(secret), secret=secret)

    def close(self) -> None:
        for _, exchange, _ in self._idle:
            exchange.close()
        self._idle.clear()

    def _pause(self, tried: int, *, failure: RemoteFailure) -> float:
        """How long to wait for the next try: never the same for all who wait."""
        usual = FIRST_PAUSE_S * 2.0 ** (tried - 1) * (0.5 + self._jitter())
        return max(usual, failure.after_s)

    async def _once(
        self, request: bytes, *, deadline: float, secret: ServerSecret, most: int
    ) -> HttpAnswer:
        with self._in_time(deadline):
            async with asyncio.timeout_at(deadline):
                answer = await self._exchanged(request, secret=secret, most=most)
        self._silent = False
        if not 200 <= answer.status < 300:
            raise self._error(answer, secret=secret)
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise BrokenAnswer(
                f"{self.place.name} sent a compressed answer, which wasn't asked for"
            )
        return answer

    def _in_time(self, deadline: float) -> _Late:
        return _Late(self.place.name, seconds=deadline - _now())

    async def _exchanged(self, request: bytes, *, secret: ServerSecret, most: int) -> HttpAnswer:
        while (exchange := self._kept(secret)) is not None:
            # What was kept may have been closed at this moment: that says nothing of the server.
            with suppress(ClosedWithoutAnswer):
                return await self._asked(exchange, request, secret=secret, most=most)
        return await self._asked(await self._open(secret), request, secret=secret, most=most)

    async def _asked(
        self, exchange: HttpExchange, request: bytes, *, secret: ServerSecret, most: int
    ) -> HttpAnswer:
        try:
            answer = await exchange.ask(request, most=most)
        except BaseException:
            exchange.close()  # what it would still say belongs to this request
            raise
        self._keep(exchange, secret=secret)
        return answer

    def _kept(self, secret: ServerSecret) -> HttpExchange | None:
        """The connection used last; those go that lay for long, or were opened for another secret:
        where one may be sent is looked at when a connection is opened.
        """
        oldest = time.monotonic() - KEPT_S
        while self._idle:
            since, exchange, opened_for = self._idle.pop()
            if not exchange.closed and since > oldest and opened_for is secret:
                return exchange
            exchange.close()
        return None

    def _keep(self, exchange: HttpExchange, *, secret: ServerSecret) -> None:
        if not exchange.closed:
            self._idle.append((time.monotonic(), exchange, secret))

    async def _open(self, secret: ServerSecret) -> HttpExchange:
        """Connect to an address that the name leads to now and that is allowed."""
        addresses = in_turns(await self._addresses(secret))
        try:
            return await first_connected(addresses, dial=self._dialled)
        except (OSError, ssl.SSLError) as error:
            self._silent = True
            raise CannotConnect(f"cannot connect to {self.place.name}: {_reason(error)}") from error

    async def _dialled(self, address: Address) -> HttpExchange:
        _, exchange = await asyncio.get_running_loop().create_connection(
            lambda: HttpExchange(to=self.place.name),
            str(address),
            self.place.port,
            ssl=self._tls,
            server_hostname=self.place.host if self._tls else None,
        )
        return exchange

    async def _addresses(self, secret: ServerSecret) -> list[Address]:
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
                self._check_secrecy(address, secret=secret)
            except HostRefused as error:
                refusal = error
            else:
                allowed.append(address)
        if not allowed and refusal is not None:
            raise refusal
        return allowed

    def _check_secrecy(self, address: Address, *, secret: ServerSecret) -> None:
        if secret.value and not self.place.secure and is_public(address):
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
        method = "GET" if body is None else "POST"
        lines = [f"{method} {self.place.at(path).target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in given.items()]
        return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + (body or b"")

    def _error(self, answer: HttpAnswer, *, secret: ServerSecret) -> AnsweredError:
        if 300 <= answer.status < 400:
            said = "a redirect, which isn't followed"
        else:
            said = _words(answer.body, secret=secret) or "without a word"
        return AnsweredError(
            f"{self.place.name} answered {answer.status}: {said}",
            status=answer.status,
            after_s=_after_s(answer.headers.get("retry-after", "")),
        )


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


def _words(body: bytes, *, secret: ServerSecret) -> str:
    """What a server says of an error, in one line: its message where it is where most have it."""
    said = secret.masked(words_of(body[: 64 << 10]))  # before a part of it is cut off
    return safe_text(" ".join(said.split()), most=WORDS)


def _after_s(text: str) -> float:
    """Read Retry-After: seconds, or a date of HTTP."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    return 0.0


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't trusted: {error.verify_message}"
    return safe_text(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _now() -> float:
    return asyncio.get_running_loop().time()
