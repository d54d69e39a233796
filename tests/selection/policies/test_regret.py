"""Learning policies leave bad arms soon, and find the best one again after it failed."""

import pytest

from selection.policies import make_policy
from tests.long import beginning_of
from tests.selection.simulation import play, summed_up


@pytest.mark.parametrize("name", beginning_of(["exp3", "exp4"], rows=1))
def test_a_failed_arm_loses_its_traffic_and_a_mended_one_gets_it_back(name: str) -> None:
    run = summed_up(list(play(make_policy(name, {}), seed=1)))
    assert run.left is not None
    assert run.left <= 1000
    assert run.back is not None
    assert run.back <= 2000
    assert run.error < 0.145  # the best single arm errs in 0.151
