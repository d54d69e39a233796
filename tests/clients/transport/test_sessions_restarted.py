"""If the server restarts, a session goes on over another websocket, and asks nothing twice."""

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from clipper_client import AsyncClient, Client, ClipperError

SERVICE_RESTART, GOING_AWAY = 1012, 1001


class Restarting:
    """Answers two questions of each connection, then closes it with a code."""

    def __init__(self, *, code: int) -> None:
        self.code = code
        self.answered: list[int] = []
        self.connections = 0

    def serve_one(self, connection: ServerConnection) -> None:
        self.connections += 1
        try:
            for _ in range(2):
                question = json.loads(connection.recv())
                self.answered.append(question["input"][0])
                connection.send(json.dumps(answer_to(question)))
            connection.recv()  # one is under way
            connection.close(self.code)
        except ConnectionClosed:
            pass


def answer_to(question: dict[str, object]) -> dict[str, object]:
    said = {"output": question["input"], "query_id": "q", "default": False, "models": {}}
    return {"id": question["id"], "type": "prediction", **said}


@pytest.fixture(params=[SERVICE_RESTART])
def restarting(request: pytest.FixtureRequest) -> Iterator[tuple[Restarting, str]]:
    served = Restarting(code=request.param)
    with serve(served.serve_one, "127.0.0.1", 0, close_timeout=0.2) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield served, f"http://127.0.0.1:{port_of(server)}"
        server.shutdown()
        thread.join()


def port_of(server: Server) -> int:
    port: int = server.socket.getsockname()[1]
    return port


def test_one_answer_after_the_other(restarting: tuple[Restarting, str]) -> None:
    served, url = restarting
    with Client(url, key="k") as client, client.session("digits") as session:
        answers = [session.predict([number]).output for number in range(7)]
    assert answers == [[number] for number in range(7)]
    assert served.answered == list(range(7))
    assert served.connections == 4


def test_many_at_once(restarting: tuple[Restarting, str]) -> None:
    served, url = restarting
    with Client(url, key="k") as client, client.session("digits") as session:
        answers = [answer.output for answer in session.predict_many([n] for n in range(20))]
    assert answers == [[number] for number in range(20)]
    assert sorted(served.answered) == list(range(20))


async def test_many_at_once_with_asyncio(restarting: tuple[Restarting, str]) -> None:
    served, url = restarting
    async with AsyncClient(url, key="k") as client, client.session("digits") as session:
        answers = await asyncio.gather(*(session.predict([number]) for number in range(20)))
    assert [answer.output for answer in answers] == [[number] for number in range(20)]
    assert sorted(served.answered) == list(range(20))


@pytest.mark.parametrize("restarting", [GOING_AWAY], indirect=True)
def test_where_it_ends_for_another_reason_so_does_the_session(
    restarting: tuple[Restarting, str],
) -> None:
    _, url = restarting
    with Client(url, key="k") as client, client.session("digits") as session:
        for number in range(2):
            session.predict([number])
        with pytest.raises(ClipperError) as ended:
            session.predict([3])
    assert ended.value.code == "unreachable"
