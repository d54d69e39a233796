"""An outage is told when it begins and when it ends, not for everything that fails meanwhile."""

import logging

import pytest

from core.log_once import LogOnce

logger = logging.getLogger("tests.outage")


def an_outage(caplog: pytest.LogCaptureFixture) -> LogOnce:
    caplog.set_level(logging.INFO, logger.name)
    return LogOnce(logger, away="Redis is away", back="Redis is back")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_it_is_told_once_when_it_begins_and_once_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage = an_outage(caplog)
    for _ in range(3):
        outage.began(ConnectionError("refused"))
    assert outage.ongoing
    for _ in range(3):
        outage.ended()
    assert not outage.ongoing
    known = [("WARNING", "Redis is away: refused"), ("INFO", "Redis is back")]
    assert told(caplog) == known
    outage.began(ConnectionError("refused"))
    outage.ended()
    assert told(caplog) == known * 2
