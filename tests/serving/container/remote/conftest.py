"""The server that most tests of remote models ask."""

from collections.abc import Iterator

import pytest

from tests.serving.container.remote.stand_in import StandIn, standing_in, sums


@pytest.fixture
def server() -> Iterator[StandIn]:
    with standing_in(sums) as running:
        yield running
