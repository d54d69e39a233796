"""What a web process has grown by: deploys beside the load, and what is judged."""

from __future__ import annotations

import threading

import pytest

from benchmarks.frames import Frame
from benchmarks.memory import deploys, targets
from benchmarks.stack import ManagementFailed


def test_versions_take_turns_until_there_were_enough_deploys():
    deployed: list[str] = []
    done: list[str] = []
    deploys(deployed.append, wanted=5, done=done, stop=threading.Event())
    assert deployed == done == ["2", "1", "2", "1", "2"]


def test_a_deploy_that_fails_ends_them_and_is_told():
    def deploy(version: str) -> None:
        if version == "1":
            raise ManagementFailed("no replica came up")

    done: list[str] = []
    with pytest.raises(ManagementFailed, match="no replica came up"):
        deploys(deploy, wanted=5, done=done, stop=threading.Event())
    assert done == ["2"]


def test_the_end_is_a_mean_of_the_last_readings_beside_the_first():
    sizes = (100.0, 300.0, 110.0, 112.0, 114.0, 116.0, 118.0)
    (target,) = targets(Frame({"rss_mib": sizes}))
    assert (target.seen, target.holds) == (pytest.approx(1.14), True)
    assert not targets(Frame({"rss_mib": [100.0, *[121.0] * 5]}))[0].holds
