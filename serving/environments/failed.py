"""Builds that failed, each kept in a file until one of the same environment goes well.

Whoever needs the environment meanwhile is told the reason, and no build is tried for a while: the
same requirements would fail of the same. What may pass by itself, an index that isn't reached, is
tried again sooner; and at once where the operator's rules or the folder of wheels have changed.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import msgspec

from serving.container.failures.container_errors import EnvironmentFailed
from serving.environments.building import IndexAway
from serving.environments.rules import Rules
from serving.environments.spec import EnvironmentSpec

PAUSE_S = 300.0
# After the first build in a row that did not reach its index; each further one doubles it.
AWAY_PAUSE_S = 5.0
AWAY_PAUSE_MOST_S = 60.0


class FailedBuild(msgspec.Struct, frozen=True, kw_only=True):
    """Why the last build failed, and when (unix seconds).

    `away` counts the builds in a row that did not reach their index; `rules` is the mark of those
    that it was built by.
    """

    error: str
    at: float
    python: str
    requirements: tuple[str, ...]
    away: int = 0
    rules: str = ""

    @property
    def pause_s(self) -> float:
        """How long after it no build is tried."""
        if not self.away:
            return PAUSE_S
        doubled: float = AWAY_PAUSE_S * 2 ** min(self.away - 1, 10)
        return min(doubled, AWAY_PAUSE_MOST_S)

    def refuse(self, *, rules: Rules, since: float) -> None:
        """Raise its reason where it failed lately, after `since`, and by these rules."""
        is_fresh = max(since, time.time() - self.pause_s) < self.at
        if is_fresh and self.rules in ("", rules.mark()):
            error = EnvironmentFailed(self.error)
            error.remembered = True
            raise error

    def write(self, path: Path) -> None:
        with suppress(OSError):  # the disk may be full, which was the reason
            path.write_bytes(msgspec.json.encode(self))


def failed_build(
    spec: EnvironmentSpec,
    *,
    error: Exception,
    reason: str,
    mark: str,
    before: FailedBuild | None,
) -> FailedBuild:
    """What to keep of a build that failed just now, after the one `before`; `mark` is that of the
    rules when it began.
    """
    earlier = before.away if before is not None else 0
    return FailedBuild(
        error=reason,
        at=time.time(),
        python=spec.python,
        requirements=spec.requirements,
        away=earlier + 1 if isinstance(error, IndexAway) else 0,
        rules=mark,
    )


def read_failed(path: Path) -> FailedBuild | None:
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=FailedBuild)
    return None
