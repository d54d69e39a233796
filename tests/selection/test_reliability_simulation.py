"""An arm that breaks loses its part and has it back once mended, in the real policies' hands."""

from __future__ import annotations

import pytest

from benchmarks.reliability_simulation import WAYS, Case, simulate

SILENT = [way for way in WAYS if way != "nonsense"]


@pytest.mark.parametrize("way", SILENT)
def test_exp3_doesn_t_trust_an_arm_for_what_it_never_answered(way: str) -> None:
    result = simulate(Case(policy="exp3", way=way, feedback=0.1))
    assert result.falls
    assert result.returns


@pytest.mark.parametrize(
    "policy", ["static", "ab_split", "epsilon_greedy", "ucb1", "thompson", "exp4", "linucb"]
)
def test_every_policy_leaves_a_broken_arm_without_any_feedback_and_finds_it_again(
    policy: str,
) -> None:
    result = simulate(Case(policy=policy, way="raises", feedback=0.0))
    assert result.falls
    assert result.returns


@pytest.mark.parametrize("feedback", [0.1, 1.0])
def test_what_feedback_says_of_defaults_doesn_t_keep_a_mended_arm_away(feedback: float) -> None:
    result = simulate(Case(policy="exp3", way="late", feedback=feedback, receipts=True))
    assert result.falls
    assert result.returns


def test_nonsense_is_known_by_its_labels() -> None:
    assert simulate(Case(policy="exp4", way="nonsense", feedback=1.0)).falls


def test_without_labels_nobody_knows_nonsense() -> None:
    assert not simulate(Case(policy="exp4", way="nonsense", feedback=0.0)).falls
