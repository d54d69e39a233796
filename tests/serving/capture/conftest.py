"""Redis, an application, and queries that were drawn from it."""

from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from core.specs import ApplicationSpec
from selection.receipts import Receipt, ReceiptSigner
from serving.capture.sampling import CapturedQueries
from serving.engine.outcome import Outcome, Status
from serving.testing import application_spec
from tests.selection.conftest import aredis, stream

__all__ = ["aredis", "stream"]


class Capturing:
    """The queries of one process on their way, and the applications of those it dropped."""

    def __init__(self, aredis: Redis) -> None:
        self.dropped: list[int] = []
        self.queries = CapturedQueries(aredis, note_dropped=self.dropped.append)

    def offer(
        self,
        *inputs: str,
        application: ApplicationSpec | None = None,
        ends: Sequence[tuple[str, Outcome | None]] = (("m1:1", Outcome(Status.OK, b"7")),),
        **changes: Any,
    ) -> None:
        outputs = {arm: end.payload for arm, end in ends if end and end.status == Status.OK}
        for number, input in enumerate(inputs):
            fields: dict[str, Any] = {
                "output": b"7",
                "outputs": outputs,
                "query_id": token(number),
                "context": "anna",
                "confidence": 1.0,
                "cause": "",
                "latency_ms": 2.5,
            }
            self.queries.offer(
                application or application_spec(capture_rate=0.5),
                input=input.encode(),
                ends=ends,
                **fields | changes,
            )


def token(number: int) -> str:
    receipt = Receipt(
        nonce=b"%012d" % number, issued_at_ms=1, application_id=1, context="anna", arms=()
    )
    return ReceiptSigner(b"secret").sign(receipt)


@pytest.fixture
def capturing(aredis: Redis) -> Capturing:
    return Capturing(aredis)
