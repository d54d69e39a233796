"""Writes behind the prediction path, which go on whatever a write runs into."""

import logging
from collections import deque

import pytest

from selection.store.write_behind import WriteBehind
from tests.selection.eventually import eventually


async def test_an_error_that_nobody_foresaw_is_said_once_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    waiting, written, left = deque(["one", "two"]), [], [2]

    async def write_some() -> None:
        if left[0]:
            left[0] -= 1
            raise ValueError("no room for this")
        written.append(waiting.popleft())

    writer = WriteBehind(
        what="outputs",
        waiting=lambda: len(waiting),
        write_some=write_some,
        logger=logging.getLogger("selection.store.large_outputs"),
    )
    await writer.start()
    writer.wake()

    await eventually(lambda: written == ["one", "two"])
    await writer.stop()
    assert caplog.text.count("outputs can't be written: no room for this") == 1
