"""What a web process has grown by: deploys beside the load, and what is judged."""

from __future__ import annotations

import threading

import pytest

from benchmarks.frames import Frame
from benchmarks.memory import Deploys, targets
from benchmarks.stack import ManagementFailed


def test_versions_take_turns_until_there_were_enough_deploys():
    deployed: list[str] = []
    deploys = Deploys(deployed.append, wanted=5)
    deploys.run(threading.Event())
    assert (deploys.done, deploys.ended.is_set()) == (5, True)
    assert deployed == ["2", "1", "2", "1", "2"]


def test_a_deploy_that_fails_ends_them_and_is_told():
    def deploy(version: str) -> None:
        if version == "1":
            raise ManagementFailed("no replica came up")

    deploys = Deploys(deploy, wanted=5)
    with pytest.raises(ManagementFailed, match="no replica came up"):
        deploys.run(threading.Event())
    assert (deploys.done, deploys.ended.is_set()) == (1, True)


def test_the_end_is_a_mean_of_the_last_readings_beside_the_first():
    sizes = (100.0, 300.0, 110.0, 112.0, 114.0, 116.0, 118.0)
    (target,) = targets(Frame({"rss_mib": sizes}))
    assert (target.seen, target.holds) == (pytest.approx(1.14), True)
    assert not targets(Frame({"rss_mib": [100.0, *[121.0] * 5]}))[0].holds
