"""The file for probes is touched while the loop turns, or can't for want of Redis."""

import os
from pathlib import Path

import pytest

from serving.cluster.beat import EXCUSED_S, TURNS_S, Beat


@pytest.mark.parametrize(
    ("silent_s", "redis_away", "touched"),
    [
        (TURNS_S - 1, False, True),
        (TURNS_S, False, False),
        (TURNS_S, True, True),
        (EXCUSED_S - 1, True, True),
        (EXCUSED_S, True, False),
    ],
)
def test_it_beats_while_the_loop_turns_or_waits_for_redis(
    silent_s: float, redis_away: bool, touched: bool, tmp_path: Path
) -> None:
    now = 1000.0
    path = tmp_path / "beat-control"
    beat = Beat(path, is_redis_away=lambda: redis_away, clock=lambda: now)
    beat.turn()
    beat.look()
    os.utime(path, (0, 0))
    now += silent_s
    beat.look()
    assert (path.stat().st_mtime > 0) == touched
