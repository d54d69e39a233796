"""Queries that end with an error: each has an id, which the log knows too, and is explained."""

import logging
from secrets import token_hex
from time import monotonic

from core.errors import ClipperError
from serving.query.prediction import Prediction
from serving.query.query import Query

# Under overload every query fails: the log has the first ones of each second, and how many more.
LINES_A_SECOND = 50

logger = logging.getLogger(__name__)


def prediction_of(query: Query) -> Prediction:
    """Return what a settled query came to. Its errors carry an id, and the explanation if asked."""
    try:
        return query.prediction()
    except ClipperError as error:
        identify(error, query=query)
        raise


def identify(error: ClipperError, *, query: Query) -> None:
    """Give the error of a query an id by which it is found in the log."""
    error.about = {"query_id": f"failed-{token_hex(8)}"}
    explanation = query.explained(settled_at=monotonic())
    if explanation is not None:
        error.about["explain"] = explanation
    _log.failed(error, application=query.application.name)


class FailureLog:
    """Writes a line for a failed query, but never more than so many a second."""

    def __init__(self) -> None:
        self._until = 0.0
        self._written = self._left_out = 0

    def failed(self, error: ClipperError, *, application: str) -> None:
        now = monotonic()
        if now >= self._until:
            if self._left_out:
                logger.info("queries failed, not logged one by one count=%d", self._left_out)
            self._until, self._written, self._left_out = now + 1.0, 0, 0
        if self._written >= LINES_A_SECOND:
            self._left_out += 1
            return
        self._written += 1
        logger.info(
            "query failed id=%s application=%s code=%s error=%s",
            error.about["query_id"],
            application,
            error.code,
            error.message,
        )


_log = FailureLog()
