"""What a web process has grown by: deploys beside the load, and what is judged."""

from __future__ import annotations

import pytest

from benchmarks.management import ManagementFailed
from benchmarks.memory import Deploys, Reading, growth


class Operator:
    def __init__(self, *, fails_at: int | None = None) -> None:
        self.deployed: list[str] = []
        self.fails_at = fails_at

    def deploy(self, model: str, *, version: str) -> None:
        if len(self.deployed) == self.fails_at:
            raise ManagementFailed("no replica came up")
        self.deployed.append(version)


def finished(operator: Operator, *, wanted: int) -> Deploys:
    deploys = Deploys(operator, wanted=wanted)
    deploys.start()
    deploys.wait()
    return deploys


def test_versions_take_turns_until_there_were_enough_deploys():
    operator = Operator()
    deploys = finished(operator, wanted=5)
    assert (deploys.done, deploys.failure, deploys.going_on) == (5, None, False)
    assert operator.deployed == ["2", "1", "2", "1", "2"]


def test_a_deploy_that_fails_ends_them_and_is_told():
    deploys = finished(Operator(fails_at=2), wanted=5)
    assert deploys.done == 2
    assert "no replica came up" in str(deploys.failure)


def test_the_end_is_a_mean_of_the_last_readings_beside_the_first():
    sizes = (100.0, 300.0, 110.0, 112.0, 114.0, 116.0, 118.0)
    readings = [Reading(queries=1, deploys=0, rss_mib=size) for size in sizes]
    assert growth(readings) == pytest.approx(1.14)
