"""A/B split: traffic by route weights, and a context that stays with its version."""

import pytest

from selection.policies import Policy, Selection, make_policy
from selection.policies.arithmetic.sums import EVIDENCE, REWARDS
from selection.policies.rules.ab_split import KeyedArms

NOTHING = (0.0, 0.0, 0.0)
CONTEXTS = [f"7:user {n}" for n in range(4000)]
split = make_policy("ab_split", {})


def ready(arms: dict[str, float], policy: Policy = split) -> KeyedArms:
    prepared = policy.prepare(dict.fromkeys(arms, NOTHING), arms)
    assert isinstance(prepared, KeyedArms)
    return prepared


def assigned(arms: dict[str, float], policy: Policy = split) -> dict[str, str]:
    prepared = ready(arms, policy)
    return {context: prepared.assigned(context).arms[0] for context in CONTEXTS}


def share(assignment: dict[str, str], arm: str) -> float:
    return list(assignment.values()).count(arm) / len(assignment)


def test_the_chance_that_is_logged_is_the_share_of_the_route() -> None:
    prepared = ready({"a:1": 1.0, "b:1": 3.0})
    for context in CONTEXTS[:50]:
        (arm,), (chance,), overlap = prepared.assigned(context)
        assert chance == {"a:1": 0.25, "b:1": 0.75}[arm]
        assert overlap == pytest.approx(0.25 * 0.75)


def test_where_a_model_gets_a_new_version_its_contexts_follow_and_no_other_moves() -> None:
    before = assigned({"a:1": 1.0, "b:1": 1.0, "c:1": 2.0})
    after = assigned({"a:2": 1.0, "b:1": 1.0, "c:1": 2.0})
    assert after == {c: "a:2" if arm == "a:1" else arm for c, arm in before.items()}


def test_where_a_model_has_two_routes_a_new_version_of_one_moves_no_context_of_the_other() -> None:
    before = assigned({"a:1": 1.0, "b:1": 1.0, "a:canary": 1.0})
    after = assigned({"a:2": 1.0, "b:1": 1.0, "a:canary": 1.0})
    assert after == {c: "a:2" if arm == "a:1" else arm for c, arm in before.items()}
    assert share(after, "a:canary") == pytest.approx(1 / 3, abs=0.03)


def test_another_seed_assigns_afresh_and_so_does_another_application() -> None:
    arms = {"a:1": 1.0, "b:1": 1.0}
    first, second = assigned(arms), assigned(arms, make_policy("ab_split", {"seed": 1}))
    both_times = [first[context] == second[context] for context in CONTEXTS]
    assert sum(both_times) / len(CONTEXTS) == pytest.approx(0.5, abs=0.03)
    elsewhere = {c: ready(arms).assigned("8" + c[1:]).arms[0] for c in CONTEXTS}
    same = [first[context] == elsewhere[context] for context in CONTEXTS]
    assert sum(same) / len(CONTEXTS) == pytest.approx(0.5, abs=0.03)


def test_a_route_without_weight_is_given_to_nobody() -> None:
    prepared = ready({"a:1": 0.0, "b:1": 1.0})
    assert {prepared.assigned(context) for context in CONTEXTS} == {Selection(("b:1",), (1.0,))}
    assert share(assigned({"a:1": 0.0, "b:1": 0.0}), "a:1") == pytest.approx(0.5, abs=0.03)


def test_how_well_each_arm_did_is_kept_and_does_not_fade() -> None:
    assert split.keep == 1.0
    deltas = split.update(losses={"a:1": 0.5}, propensities={"a:1": 0.5}).deltas
    assert deltas[REWARDS] == {"a:1": (1.0, 0.5, 0.25)}
    assert set(deltas) == {REWARDS, EVIDENCE}
