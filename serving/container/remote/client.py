"""HTTP client for one server: kept connections, each to an address that was checked first."""

import asyncio
import random
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import msgspec

from serving.container.remote.configuration import Place
from serving.container.remote.failures import (
    AnsweredError,
    AnsweredLate,
    BrokenAnswer,
    CannotConnect,
    ClosedWithoutAnswer,
    HostRefused,
    RemoteFailure,
    error_text,
)
from serving.container.remote.hosts import Address, AllowedHosts, is_public, resolve
from serving.container.remote.http_exchange import LARGEST_BODY, HttpAnswer, HttpExchange
from serving.rpc.text import safe_text

MASK = "•••"
_JSON_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class ServerSecret:
    """The secret of every request: under a header of this name, else as a bearer."""

    value: str = field(default="", repr=False)
    header: str = ""

    @property
    def headers(self) -> Mapping[str, str]:
        if not self.value:
            return {}
        return (
            {self.header: self.value} if self.header else {"Authorization": f"Bearer {self.value}"}
        )

    def mask(self, text: str) -> str:
        """Replace the secret in words of a server, which may quote what it was sent."""
        return text.replace(self.value, MASK) if self.value else text

    def mask_output(self, output: bytes) -> bytes:
        """Replace the secret in the strings of an output, which msgspec has encoded as JSON."""
        if not self.value or msgspec.json.encode(self.value)[1:-1] not in output:
            return output
        return _JSON_STRING.sub(
            lambda found: msgspec.json.encode(self.mask(msgspec.json.decode(found[0]))), output
        )


class HttpClient:
    """Asks for paths of one server on one event loop, with at most `concurrency` at a time."""

    def __init__(
        self, place: Place, *, hosts: AllowedHosts, secret: ServerSecret, concurrency: int
    ) -> None:
        self.place = place
        self.secret = secret
        self._hosts = hosts
        self._slots = asyncio.Semaphore(concurrency)
        self._idle: list[tuple[float, HttpExchange, ServerSecret]] = []
        self._tls = ssl.create_default_context() if place.secure else None
        self._unreachable = False

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

        Retries until the loop's `deadline`; raises RemoteFailure.
        """
        async with self._slots:
            # A server that can't be connected to is asked once until it answers again.
            tries = 1 if self._unreachable else 3
            for number in range(1, tries + 1):
                secret = self.secret  # another one may hold from the next try on
                request = self._request(
                    path, body=body, headers={**(headers or {}), **secret.headers}
                )
                try:
                    async with self._within(deadline):
                        answer = await self._exchange(request, secret=secret, most=most)
                    self._unreachable = False
                    return self._check(answer, secret=secret)
                except RemoteFailure as failure:
                    # Never the same pause for all that wait.
                    usual = 0.05 * 2.0 ** (number - 1) * (0.5 + random.random())  # noqa: S311
                    pause = max(usual, failure.after_s)
                    if number == tries or not failure.passes or _now() + pause >= deadline:
                        raise
                await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def connect(self, *, deadline: float) -> None:
        """Open a connection without asking for anything."""
        async with self._slots, self._within(deadline):
            secret = self.secret
            self._keep(await self._open(secret), secret=secret)

    def close(self) -> None:
        for _, exchange, _ in self._idle:
            exchange.close()
        self._idle.clear()

    @asynccontextmanager
    async def _within(self, deadline: float) -> AsyncIterator[None]:
        """Raise AnsweredLate where the block lasts longer."""
        ms = max(0.0, deadline - _now()) * 1000.0
        try:
            async with asyncio.timeout_at(deadline):
                yield
        except TimeoutError as error:
            raise AnsweredLate(f"{self.place.name} gave no answer within {ms:.0f} ms") from error

    async def _exchange(self, request: bytes, *, secret: ServerSecret, most: int) -> HttpAnswer:
        while (exchange := self._take_idle(secret)) is not None:
            # The server may have closed it at this moment, which says nothing of the server.
            with suppress(ClosedWithoutAnswer):
                return await self._ask_over(exchange, request, secret=secret, most=most)
        return await self._ask_over(await self._open(secret), request, secret=secret, most=most)

    async def _ask_over(
        self, exchange: HttpExchange, request: bytes, *, secret: ServerSecret, most: int
    ) -> HttpAnswer:
        try:
            answer = await exchange.ask(request, most=most)
        except BaseException:
            exchange.close()  # what is still to come belongs to this request
            raise
        self._keep(exchange, secret=secret)
        return answer

    def _take_idle(self, secret: ServerSecret) -> HttpExchange | None:
        """Return the connection used last, if its address was checked for this secret."""
        # A server may have closed a connection that was idle for longer.
        oldest = time.monotonic() - 30.0
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
        """Connect to the first allowed address of the host that answers."""
        try:
            addresses = await self._allowed_addresses(secret)
            for address in addresses[:-1]:
                with suppress(OSError):  # a timeout is one
                    # An address that answers nothing must not take the time of a host's other
                    # addresses.
                    async with asyncio.timeout(1.0):
                        return await self._dial(address)
            return await self._dial(addresses[-1])
        except (OSError, UnicodeError) as error:
            self._unreachable = True
            raise CannotConnect(f"cannot connect to {self.place.name}: {_reason(error)}") from error

    async def _dial(self, address: Address) -> HttpExchange:
        _, exchange = await asyncio.get_running_loop().create_connection(
            lambda: HttpExchange(to=self.place.name),
            str(address),
            self.place.port,
            ssl=self._tls,
            server_hostname=self.place.host if self._tls else None,
        )
        return exchange

    async def _allowed_addresses(self, secret: ServerSecret) -> list[Address]:
        """Look the host up, and return the addresses that may be asked; HostRefused for none."""
        host, port = self.place.host, self.place.port
        self._hosts.check_host(host, port=port)
        allowed: list[Address] = []
        refusal: Exception = OSError("it has no address")
        for address in await asyncio.to_thread(resolve, host, port=port):
            try:
                self._hosts.check_address(address, host=host, port=port)
                self._check_secrecy(address, secret=secret)
            except HostRefused as error:
                refusal = error
            else:
                allowed.append(address)
        if not allowed:
            raise refusal
        return allowed

    def _check_secrecy(self, address: Address, *, secret: ServerSecret) -> None:
        if secret.value and not self.place.secure and is_public(address):
            raise HostRefused(
                f"{self.place.name} is a public address: a secret goes there over https alone"
            )

    def _request(self, path: str, *, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        given = {"Host": self.place.netloc, "User-Agent": "clipper", "Accept": "application/json"}
        if body is not None:
            given |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        given |= headers
        method = "GET" if body is None else "POST"
        lines = [f"{method} {path}{self.place.query} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in given.items()]
        return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + (body or b"")

    def _check(self, answer: HttpAnswer, *, secret: ServerSecret) -> HttpAnswer:
        """Return an answer that can be used. Raises AnsweredError or BrokenAnswer."""
        if not 200 <= answer.status < 300:
            if 300 <= answer.status < 400:
                words = "a redirect, which isn't followed"
            else:
                # Masked before a part of it is cut off.
                masked = secret.mask(error_text(answer.body[: 64 << 10]))
                words = safe_text(" ".join(masked.split()), most=500) or "without a word"
            raise AnsweredError(
                f"{self.place.name} answered {answer.status}: {words}",
                status=answer.status,
                after_s=_retry_after_s(answer.headers.get("retry-after", "")),
            )
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise BrokenAnswer(
                f"{self.place.name} sent a compressed answer, which wasn't asked for"
            )
        return answer


def _retry_after_s(text: str) -> float:
    """Read Retry-After in seconds; as a date, which hardly any server sends, it says nothing."""
    return float(text[:9]) if text.isascii() and text.isdigit() else 0.0


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't trusted: {error.verify_message}"
    words = safe_text(getattr(error, "strerror", None) or str(error) or type(error).__name__)
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"its name can't be looked up: {words}"
    return words


def _now() -> float:
    return asyncio.get_running_loop().time()
