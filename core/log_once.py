"""Logs an outage once when it begins and once when it ends."""

import logging


class LogOnce:
    """Logs only changes; call `began` on every failure and `ended` on every success."""

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
