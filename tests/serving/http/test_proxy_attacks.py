"""No bytes mean one thing to one kind of process and another thing to the other."""

import asyncio
import json
import random
from collections.abc import Iterator

import pytest

from tests.long import beginning_of
from tests.serving.http.front_server import PATH, Client, Front, client_of, request
from tests.serving.http.test_smuggling import CHUNKED, HIDDEN, REFUSED, upgrade
from tests.serving.http.two_kinds import TwoKinds, two

__all__ = ["two"]
ADMIN = b"/admin/"
FEEDBACK = b"/api/v1/applications/digits/feedback"
OTHER = {ADMIN: FEEDBACK, FEEDBACK: ADMIN}
# What a body may hold that would be a request of the other kind, or an end that is none.
HIDDEN_OTHER = b"POST %b HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n"


def of_kind(two: TwoKinds, path: bytes) -> Front:
    return two.console if path == ADMIN else two.predict


@pytest.mark.parametrize("entry", ["predict", "console"])
@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
async def test_what_is_in_doubt_is_refused_by_whoever_reads_it(
    two: TwoKinds, data: bytes, entry: str
) -> None:
    """And what may be hidden behind it is read by neither."""
    it = getattr(two, entry)
    async with two.running():
        for path in (ADMIN, FEEDBACK):
            async with client_of(it) as client:
                await client.send(data.replace(PATH, path))
                status, headers, body = await client.response()
                assert (status, json.loads(body)["code"]) == (400, "malformed")
                assert headers[b"connection"] == b"close"
    assert [asked for asked in two.predict.asked + two.console.asked if asked[0] == "GET"] == []


@pytest.mark.parametrize("path", [ADMIN, FEEDBACK], ids=["console", "predict"])
@pytest.mark.parametrize("offer", [b"h2c", b"websocket", b"websocket, h2c", b""])
async def test_a_body_behind_an_offer_stays_a_body(
    two: TwoKinds, path: bytes, offer: bytes
) -> None:
    hidden = HIDDEN_OTHER % OTHER[path]
    data = request(hidden, path=path, extra=upgrade(offer))
    async with two.running(), client_of(two.predict) as client:
        await client.send(data + request(b"next", path=OTHER[path]))
        assert [(await client.response())[0] for _ in range(2)] == [200, 200]
    assert of_kind(two, path).asked == [("POST", path.decode(), hidden)]
    assert of_kind(two, OTHER[path]).asked == [("POST", OTHER[path].decode(), b"next")]


@pytest.mark.parametrize(
    "target",
    [b"http://here", b"here:80", b"", b"health/live", b"/\xff", b"/a b", b"?/admin/"],
)
async def test_a_target_that_is_none_is_passed_on_nowhere(two: TwoKinds, target: bytes) -> None:
    async with two.running(), client_of(two.predict) as client:
        await client.send(request(path=target))
        status, _, body = await client.response()
        assert (status, json.loads(body)["code"]) == (400, "malformed")
    assert two.predict.asked == two.console.asked == []


class Conversation:
    """Random requests of one connection, in random pieces."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.paths = self.random.choices([ADMIN, FEEDBACK, b"/x"], k=12)
        self.bodies = [self.body() for _ in self.paths]
        self.data = b"".join(
            self.blank() + self.framed(body, path=path)
            for path, body in zip(self.paths, self.bodies, strict=True)
        )

    def body(self) -> bytes:
        parts = [b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", HIDDEN, HIDDEN_OTHER % ADMIN, b"a" * 3000]
        return b"".join(self.random.choices(parts, k=self.random.randrange(8)))

    def blank(self) -> bytes:
        return b"\r\n" * self.random.choice([0, 0, 0, 1, 2])

    def framed(self, body: bytes, *, path: bytes) -> bytes:
        extra = self.random.choice([b"", b"", upgrade(b"h2c")])
        if self.random.random() < 0.5:
            return request(body, path=path, extra=extra)
        chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in self.cut(body)]
        end = self.random.choice([b"0\r\n\r\n", b"0;a=b\r\n\r\n", b"0\r\nX: 1\r\n\r\n"])
        return request(b"".join([*chunks, end]), path=path, framing=CHUNKED, extra=extra)

    def cut(self, data: bytes) -> Iterator[bytes]:
        longest = self.random.choice([1, 2, 5, 100, 10_000])
        at = 0
        while at < len(data):
            size = self.random.randint(1, longest)
            yield data[at : at + size]
            at += size

    async def hold(self, client: Client) -> list[int]:
        async def send() -> None:
            for piece in self.cut(self.data):
                await client.send(piece)
                await asyncio.sleep(0)

        sending = asyncio.create_task(send())
        statuses = [(await client.response())[0] for _ in self.paths]
        await sending
        return statuses


@pytest.mark.parametrize("seed", beginning_of(range(12), rows=5))
async def test_however_requests_come_each_is_read_as_it_was_written(
    two: TwoKinds, seed: int
) -> None:
    said = Conversation(seed)
    async with two.running(), client_of(two.predict) as client:
        assert await said.hold(client) == [200] * len(said.paths)
    pairs = list(zip(said.paths, said.bodies, strict=True))
    for it, here in ((two.console, {ADMIN, b"/x"}), (two.predict, {FEEDBACK})):
        assert it.asked == [("POST", path.decode(), body) for path, body in pairs if path in here]
