"""A replica that only waits for others works on several batches at once."""

import threading
from dataclasses import dataclass, field

import msgspec
import pytest

from serving.rpc.frames.codec import FrameType, decode_answers, encode_predict
from tests.serving.container.remote.asking import predictor
from tests.serving.container.remote.stand_in import Asked, Said, as_json, standing_in
from tests.serving.container.server.test_server import HELLO, LIMIT, Web, serving

AT_ONCE = 3


@dataclass
class Together:
    """Answers requests once so many of them are there at the same time."""

    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(AT_ONCE))

    def __call__(self, asked: Asked) -> Said:
        self.barrier.wait(LIMIT)
        return as_json({"predictions": [sum(row) for row in asked.json["instances"]]})


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"unix:{tmp_path_factory.mktemp('s') / 'r.sock'}"


async def test_batches_of_single_rows_are_asked_at_once_as_far_as_it_may(address: str) -> None:
    hello = msgspec.structs.replace(HELLO, concurrency=AT_ONCE)
    with (
        standing_in(Together()) as server,
        predictor(server.url(), concurrency=AT_ONCE) as asked,
    ):
        assert asked.concurrency == AT_ONCE
        async with serving(asked, address=address, hello=hello):
            web = await Web.dial(address, hello=hello)
            for number in range(1, 2 * AT_ONCE + 1):
                web.connection.send(encode_predict(number, [b"[%d, 1]" % number]))
            answers = {}
            for _ in range(2 * AT_ONCE):
                frame = await web.next(FrameType.ANSWER)
                answers[frame.request_id] = decode_answers(frame.body)[0][0].payload
        assert {number: int(payload) for number, payload in answers.items()} == {
            number: number + 1 for number in range(1, 2 * AT_ONCE + 1)
        }
        assert server.most_at_once == AT_ONCE
