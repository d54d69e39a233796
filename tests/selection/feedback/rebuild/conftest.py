"""An application whose feedback a real Redis counts."""

import pytest
import redis

from registry import services
from tests.selection.live import Live


@pytest.fixture
def live(server_redis: redis.Redis, redis_socket: str) -> Live:
    digits = services.create_application(
        name="digits",
        input_type="doubles",
        slo_ms=50.0,
        policy="exp4",
        feedback_window_s=86_400,
        by=services.SYSTEM,
    )
    return Live(server_redis, redis_socket, digits)
