"""Says once that something went away and once that it is back, however often it is tried."""

from __future__ import annotations

import logging


class LogOnce:
    """Call `began` on every failure and `ended` on every success: only a change is logged."""

    def __init__(self, logger: logging.Logger, *, away: str, back: str) -> None:
        self._logger = logger
        self._away = away
        self._back = back
        self.ongoing = False

    def began(self, error: BaseException) -> None:
        if not self.ongoing:
            self._logger.warning("%s: %s", self._away, str(error) or type(error).__name__)
        self.ongoing = True

    def ended(self) -> None:
        if self.ongoing:
            self._logger.info("%s", self._back)
        self.ongoing = False
