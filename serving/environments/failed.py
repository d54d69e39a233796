"""Builds that failed, each kept in a file until one of the same environment succeeds."""

import time
from contextlib import suppress
from pathlib import Path

import msgspec

from serving.container.failures.container_errors import EnvironmentFailed
from serving.environments.rules import Rules

PAUSE_S = 300.0
# After a build whose index wasn't reached, which may pass by itself.
AWAY_PAUSE_S = 10.0


class FailedBuild(msgspec.Struct, frozen=True, kw_only=True):
    """Reason and time (unix seconds) of the last build's failure.

    `away`: its index wasn't reached; `rules` is the mark of those that it was built by.
    """

    error: str
    at: float
    python: str
    requirements: tuple[str, ...]
    away: bool = False
    rules: str = ""

    def refuse(self, *, rules: Rules, since: float) -> None:
        """Raise its reason if it failed lately, after `since`, and by these rules."""
        pause_s = AWAY_PAUSE_S if self.away else PAUSE_S
        is_fresh = max(since, time.time() - pause_s) < self.at
        if is_fresh and self.rules in ("", rules.mark()):
            error = EnvironmentFailed(self.error)
            error.remembered = True
            raise error

    def write(self, path: Path) -> None:
        with suppress(OSError):  # the disk may be full, which was the reason
            path.write_bytes(msgspec.json.encode(self))


def read_failed(path: Path) -> FailedBuild | None:
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=FailedBuild)
    return None
