"""A rollout goes back as soon as it is proved worse, and on only where it is proved no worse."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.models.rollouts.rollout_plans import HOLD, PLANS, ROLL_BACK, TELL
from selection.evaluation.gates.gate import GateVerdict
from serving.cluster.control.rollouts.ruling import Judged, Look, RolloutMove, rule_on

WORSE, NO_WORSE, OPEN = GateVerdict.WORSE, GateVerdict.NO_WORSE, GateVerdict.OPEN


def gate(name: str, verdict: GateVerdict, **fields: Any) -> Judged:
    return Judged(**{
        "gate": name, "application": "", "verdict": verdict, "action": ROLL_BACK, "words": name,
        "wanted": True, "always": name != "reward", **fields,
    })  # fmt: skip


PROVED = (gate("errors", NO_WORSE), gate("lateness", NO_WORSE), gate("reward", NO_WORSE))


def look(**fields: Any) -> Look:
    return Look(**{
        "plan": PLANS["quick"], "is_shadow": False, "step": 0, "is_held": False,
        "is_paused": False, "in_step_s": 60.0, "exposed_s": 1e6, "answers": 1000,
        "judged": PROVED, **fields,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "move"),
    [
        ({}, RolloutMove.ADVANCE),
        ({"step": 1}, RolloutMove.PROMOTE),
        ({"in_step_s": 9.0}, RolloutMove.STAY),
        ({"answers": 0}, RolloutMove.STAY),
        ({"judged": (*PROVED[:2], gate("reward", OPEN))}, RolloutMove.ADVANCE),
        ({"step": 1, "judged": (*PROVED[:2], gate("reward", OPEN))}, RolloutMove.STAY),
        ({"judged": (gate("errors", OPEN), *PROVED[1:])}, RolloutMove.STAY),
        ({"judged": (gate("errors", WORSE), *PROVED[1:])}, RolloutMove.ROLL_BACK),
        ({"judged": (gate("x", WORSE, action=HOLD), *PROVED)}, RolloutMove.HOLD),
        ({"judged": (gate("x", WORSE, action=TELL), *PROVED)}, RolloutMove.ADVANCE),
        ({"faults": ["held: no traffic"]}, RolloutMove.HOLD),
        ({"is_held": True}, RolloutMove.RESUME),
        ({"is_held": True, "is_paused": True}, RolloutMove.STAY),
        ({"others": ["an approval"]}, RolloutMove.STAY),
        ({"plan": PLANS["usual"], "step": 3, "exposed_s": 86_000.0}, RolloutMove.STAY),
        ({"plan": PLANS["usual"], "step": 3, "exposed_s": 86_500.0}, RolloutMove.PROMOTE),
        ({"is_shadow": True, "answers": 29}, RolloutMove.STAY),
        ({"is_shadow": True, "answers": 30, "plan": PLANS["usual"]}, RolloutMove.ADVANCE),
    ],
)
def test_the_move(fields: dict[str, Any], move: RolloutMove) -> None:
    assert rule_on(look(**fields)).move == move


looks = st.builds(
    look,
    step=st.integers(0, 1),
    is_shadow=st.booleans(),
    is_held=st.booleans(),
    is_paused=st.booleans(),
    in_step_s=st.floats(0, 1e5),
    exposed_s=st.floats(0, 1e6),
    answers=st.integers(0, 100),
    faults=st.lists(st.just("held: no traffic"), max_size=1),
    overruled=st.lists(st.sampled_from(["errors", "reward"]), max_size=1),
    judged=st.lists(
        st.builds(
            gate,
            st.sampled_from(["errors", "lateness", "reward", "metric x"]),
            st.sampled_from(GateVerdict),
            action=st.sampled_from([ROLL_BACK, HOLD, TELL]),
            wanted=st.booleans(),
            always=st.booleans(),
        ),
        max_size=5,
    ),
)


@given(looks)
def test_a_version_proved_worse_goes_back_and_nothing_unproved_is_promoted(one: Look) -> None:
    counted = [judged for judged in one.judged if judged.gate not in one.overruled]
    worse = [judged for judged in counted if judged.verdict == WORSE]
    move = rule_on(one).move

    assert (move == RolloutMove.ROLL_BACK) == any(j.action == ROLL_BACK for j in worse)
    if move in (RolloutMove.ADVANCE, RolloutMove.PROMOTE):
        assert not one.faults
        assert not one.is_paused
        assert not any(judged.action == HOLD for judged in worse)
        assert one.in_step_s >= 10 or one.is_shadow
    if move == RolloutMove.PROMOTE:
        assert not any(judged.wanted and judged.verdict == OPEN for judged in counted)
