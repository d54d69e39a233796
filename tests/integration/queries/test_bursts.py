"""Whatever a client without a key sends, the others are answered meanwhile."""

import json
import socket
import threading
from contextlib import closing, suppress

import pytest
from websockets.frames import Frame, Opcode

from tests.integration.conftest import make_application
from tests.integration.queries.watched import Watched
from tests.integration.stack import Stack, eventually

SECONDS = 60.0
# Several copies of a body that is as large as one may be.
MOST_BYTES = 260 << 20
OPENING = (
    b"GET /ws/v1/applications/%b HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)
POST = b"POST /api/v1/applications/%b HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
ROWS = b",".join([b"1"] * 7_900_000)
POLICY_VIOLATION = (1008).to_bytes(2, "big")
NAMES = b",".join(b'"%x":1' % number for number in range(1_400_000))


@pytest.fixture(scope="module")
def public(stack: Stack) -> bytes:
    """An application that needs no key."""
    name = make_application(stack, name="for-everybody", policy="exp3")
    with stack.client() as client:
        changed = client.patch(f"/api/v1/applications/{name}", json={"public": True})
        assert changed.status_code == 200, changed.text
    with stack.client(headers={}) as client:
        path = f"/api/v1/applications/{name}/selection"
        eventually(lambda: client.get(path).status_code == 200, seconds=SECONDS, what="public")
    return name.encode()


@pytest.fixture
def watched(stack: Stack) -> Watched:
    return Watched(stack)


def connected(stack: Stack) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stack.port), timeout=SECONDS)


def exchanged(stack: Stack, sent: bytes, *, until: bytes) -> bytes:
    """Return what came back, up to and with `until`, or to the end of the connection."""
    with closing(connected(stack)) as connection:
        return _exchanged(connection, sent, until=until)


def messages(stack: Stack, *sent: bytes, application: bytes, until: bytes) -> bytes:
    """Open a websocket and send frames over it."""
    data = b"".join(sent)
    with closing(connected(stack)) as connection:
        connection.sendall(OPENING % application)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1 << 12)
        assert head.startswith(b"HTTP/1.1 101")
        return _exchanged(connection, data, until=until)


def _exchanged(connection: socket.socket, sent: bytes, *, until: bytes) -> bytes:
    sending = threading.Thread(target=_send, args=(connection, sent))
    sending.start()
    received = b""
    with suppress(ConnectionError):
        while until not in received and (data := connection.recv(1 << 16)):
            received += data
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    sending.join()
    return received


def _send(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # the server has ended the connection
        connection.sendall(data)


def frame(data: bytes, *, opcode: Opcode = Opcode.TEXT) -> bytes:
    return Frame(opcode, data).serialize(mask=True)


@pytest.mark.parametrize("known", [False, True], ids=["no key", "no key needed"])
@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG], ids=["pings", "pongs"])
def test_a_burst_of_frames_that_are_no_messages_is_refused(
    stack: Stack, watched: Watched, public: bytes, opcode: Opcode, known: bool
) -> None:
    burst = frame(b"", opcode=opcode) * 900_000
    name = public if known else b"digits"
    received = watched.during(
        lambda: messages(stack, burst, application=name, until=POLICY_VIOLATION)
    )
    assert POLICY_VIOLATION in received
    assert watched.held_up_nobody
    assert watched.spent_s < 1.0  # each of these frames costs 3 µs and more


def test_a_burst_of_messages_without_a_key_is_refused(stack: Stack, watched: Watched) -> None:
    burst = frame(b"{}") * 200_000
    received = watched.during(
        lambda: messages(stack, burst, application=b"digits", until=POLICY_VIOLATION)
    )
    assert 0 < received.count(b"unauthenticated") < 100
    assert watched.held_up_nobody


def test_messages_behind_the_one_with_the_key_are_answered(stack: Stack) -> None:
    """All at once, and as many as a client without a key may not send."""
    key = frame(json.dumps({"id": 0, "type": "auth", "key": stack.demo["api_key"]}).encode())
    asked = [frame(b'{"id":%d,"type":"predict","input":"x"}' % number) for number in range(1, 500)]
    received = messages(stack, key, *asked, application=b"digits", until=b'"id":499,')
    assert received.count(b"invalid_input") == 499


@pytest.mark.parametrize("known", [False, True], ids=["no key", "no key needed"])
def test_a_burst_of_small_chunks_keeps_nobody_waiting(
    stack: Stack, watched: Watched, public: bytes, known: bool
) -> None:
    path = (public if known else b"digits") + b"/predict"
    head = POST % path + b"Transfer-Encoding: chunked\r\n\r\n"
    burst = head + b"1\r\n \r\n" * 980_000 + b"0\r\n\r\n"
    received = watched.during(lambda: exchanged(stack, burst, until=b"\r\n\r\n"))
    assert received.startswith(b"HTTP/1.1 400" if known else b"HTTP/1.1 401")
    assert watched.held_up_nobody
    if not known:
        assert watched.spent_s < 0.5


def test_small_chunks_make_the_body_that_was_sent(stack: Stack) -> None:
    body = b'{"input_batch":[%b]}' % b",".join([b"[%b]" % b",".join([b"1"] * 64)] * 20)
    key = b"Authorization: Api-Key %b\r\n" % stack.demo["api_key"].encode()
    head = POST % b"digits/predict" + key + b"Transfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    after = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"
    received = exchanged(stack, head + chunks + b"0\r\n\r\n" + after, until=b'"live"')
    assert received.startswith(b"HTTP/1.1 200")
    assert received.count(b'"query_id"') == 20


BODIES = {
    "inputs": (b"predict", b'{"input_batch":[%b]}' % ROWS),
    "scored": (b"score", b'{"input_batch":[%b]}' % ROWS),
    "inputs behind": (b"predict", b'{%b"input_batch":[%b]}' % (b" " * 5000, ROWS)),
    "features": (b"predict", b'{"input":[1],"features":[%b]}' % ROWS),
    "feedback": (b"feedback", b'{"feedback":[%b]}' % ROWS),
    "features of feedback": (b"feedback", b'{"input":[1],"label":1,"features":[%b]}' % ROWS),
    "features of all feedback": (
        b"feedback",
        b'{"feedback":[%b]}'
        % b",".join([b'{"input":[1],"label":1,"features":[%b1]}' % (b"1," * 250_000)] * 30),
    ),
    "names of feedback": (b"feedback", b"{%b}" % NAMES),
}


@pytest.mark.parametrize(("path", "body"), BODIES.values(), ids=BODIES)
def test_millions_of_values_are_refused_before_they_are_made(
    stack: Stack, watched: Watched, public: bytes, path: bytes, body: bytes
) -> None:
    head = POST % b"%b/%b" % (public, path) + b"Content-Length: %d\r\n\r\n" % len(body)
    received = watched.during(lambda: exchanged(stack, head + body, until=b'"details"'))
    assert received.startswith(b"HTTP/1.1 400")
    assert watched.held_up_nobody
    assert watched.most_bytes < MOST_BYTES


MESSAGES = {
    "inputs": b'{"id":1,"input_batch":[%b]}' % ROWS,
    "names": b"{%b}" % NAMES,
    "an id": b'{"id":[%b],"input":[1]}' % ROWS,
    "features": b'{"id":1,"input":[1],"label":1,"features":[%b]}' % ROWS,
}


@pytest.mark.parametrize("body", MESSAGES.values(), ids=MESSAGES)
def test_millions_of_values_in_a_message_are_refused_before_they_are_made(
    stack: Stack, watched: Watched, public: bytes, body: bytes
) -> None:
    received = watched.during(
        lambda: messages(stack, frame(body), application=public, until=b'"details"')
    )
    assert b'"type":"error"' in received[:200]
    assert watched.held_up_nobody
    assert watched.most_bytes < MOST_BYTES
