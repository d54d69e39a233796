"""Sums by person: what they add up to, what a label counts, when they begin anew."""

import random
from collections import defaultdict

import pytest

from selection.policies import make_policy
from selection.policies.arithmetic.person_sums import NOBODY, PAST, slope_of
from selection.policies.arithmetic.sums import BOTH, PEOPLE, State, groups_of, learn, learn_in
from selection.policies.best_arm_proof import proof_of
from selection.policies.policy import overlap_of, weight_of

POLICY = make_policy("thompson", {})
ARMS = ("svm:1", "knn:1")


def taught(
    state: State,
    losses: dict[str, float],
    *,
    group: int = NOBODY,
    overlap: float = 0.2,
    arms: tuple[str, ...] = ARMS,
    chance: float = 0.4,
) -> State:
    update = POLICY.update(
        arms=arms, losses=losses, propensities=dict.fromkeys(losses, chance), overlap=overlap
    )
    return learn(state, update, group=group)


def test_running_sums_are_those_of_everybody_s_sums() -> None:
    luck, state = random.Random(5), State()
    for group, loss in ((3, 0.25), (3, 0.5), (70, 1.0)):
        state = taught(state, {ARMS[0]: loss}, group=group, arms=ARMS[:1], overlap=0.0)
    pasts = {3: (1.25 - 2 * 1.25 / 3) / 12.0, 70: (0.0 - 1.25 / 3) / 11.0}
    table: dict[int, dict[str, list[float]]] = defaultdict(
        lambda: {arm: [0.0, 0.0] for arm in ARMS}
    )
    for number in range(400):
        group, arm, loss = luck.choice([3, 70, 4000, NOBODY]), luck.choice(ARMS), luck.random()
        overlap = luck.uniform(0.01, 0.4)
        state = taught(state, {arm: loss}, group=group, overlap=overlap)
        of_arm = table[group if group != NOBODY else 10_000 + number][arm]
        of_arm[0] += overlap / 0.4
        of_arm[1] += overlap / 0.4 * (1.0 - loss)

    for arm in ARMS:
        people = [(*row[arm], pasts.get(group, 0.0)) for group, row in table.items()]
        labels = state.of(PEOPLE)[arm][5]
        assert state.of(PEOPLE)[arm] == pytest.approx(
            (
                sum(n for n, _, _ in people),
                sum(s for _, s, _ in people),
                sum(n * n for n, _, _ in people),
                sum(n * s for n, s, _ in people),
                sum(s * s for _, s, _ in people),
                labels,
                sum(n * x for n, _, x in people),
                sum(n * n * x for n, _, x in people),
                sum(n * n * x * x for n, _, x in people),
                sum(n * s * x for n, s, x in people),
            )
        )
    one, other = sorted(ARMS)
    known = [(*row[one], *row[other], pasts.get(group, 0.0)) for group, row in table.items()]
    assert state.of(BOTH)["knn:1 svm:1"] == pytest.approx(
        tuple(
            sum(row[i] * row[j] * row[4] ** k for row in known)
            for i, j, k in (
                *((0, 2, 0), (0, 3, 0), (1, 2, 0), (1, 3, 0)),
                *((0, 2, 1), (0, 2, 2), (0, 3, 1), (1, 2, 1)),
            )
        )
    )


def test_both_arms_of_a_pair_see_it_from_their_own_side() -> None:
    state = taught(State(), {"svm:1": 0.0, "knn:1": 0.75}, overlap=0.0)

    known = proof_of(state, ARMS)
    assert known["svm:1"][-8:-4] == (1.0, 0.25, 1.0, 0.25)
    assert known["knn:1"][-16:-12] == (1.0, 1.0, 0.25, 0.25)


def test_a_label_counts_the_inverse_of_its_chance_beside_those_of_all() -> None:
    overlap = overlap_of([0.9, 0.1, 0.0])

    assert overlap == pytest.approx(0.09)
    assert weight_of(0.9, overlap=overlap) == pytest.approx(0.1)
    assert weight_of(0.1, overlap=overlap) == pytest.approx(0.9)
    assert overlap_of([1.0, 0.0]) == 0.0
    assert weight_of(0.3, overlap=0.0) == 1.0


def test_a_key_is_the_person_or_else_the_context_is() -> None:
    own, general = groups_of("ann", context="norfolk")

    assert own == general
    assert 0 <= own < 4096
    assert groups_of("", context="norfolk") == (NOBODY, groups_of("norfolk", context="")[1])
    assert groups_of("", context="") == (NOBODY, NOBODY)


def test_a_state_of_all_contexts_knows_a_context_as_a_person() -> None:
    states: dict[str, State] = {}
    for _ in range(3):
        update = POLICY.update(arms=ARMS, losses={"svm:1": 0.0}, propensities={"svm:1": 1.0})
        states |= learn_in("ann", update, states=states)

    assert states["ann"].of(PEOPLE)["svm:1"][:6] == (3.0,) * 6
    assert states[""].of(PEOPLE)["svm:1"][:6] == (3.0, 3.0, 9.0, 9.0, 9.0, 3.0)


def test_all_arms_begin_anew_when_one_leaves() -> None:
    state = State()
    for arms in (ARMS, ARMS, ARMS[:1], ARMS):
        state = taught(state, dict.fromkeys(arms, 0.5), group=7, arms=arms)
        assert state.of(PEOPLE).keys() == set(arms)

    anew = taught(State(), dict.fromkeys(ARMS, 0.5), group=7).people
    assert state.people._replace(table={}) == anew._replace(table={})


def test_rewards_under_a_single_arm_become_the_past_and_take_their_part_out() -> None:
    luck, state = random.Random(2), State()
    levels = {group: luck.uniform(0.3, 1.0) for group in range(60)}
    for arms in (ARMS[:1], ARMS):
        for _ in range(1500):
            group, arm = luck.randrange(60), luck.choice(arms)
            loss = float(luck.random() > levels[group])
            state = taught(state, {arm: loss}, group=group, arms=arms, overlap=0.0)

    assert state.table[0][7][PAST][0] > 10.0
    assert 0.7 < slope_of(state.of(PEOPLE).values()) < 1.6
    # What two arms leave of it stays what it was of one.
    three = taught(state, {"nb:1": 0.0}, group=7, arms=(*ARMS, "nb:1"))
    assert three.table[0][7][PAST] == state.table[0][7][PAST]


def test_all_arms_begin_anew_when_one_joins_and_late_labels_of_others_are_left_out() -> None:
    state = taught(taught(State(), {"svm:1": 0.0}, group=7), {"knn:1": 1.0}, group=7)
    joined = taught(state, {"svm:2": 0.0}, group=7, arms=("svm:2", "knn:1"))
    late = taught(joined, {"svm:1": 0.0}, group=7, arms=("svm:2", "knn:1"))

    assert {arm: sums[5] for arm, sums in joined.of(PEOPLE).items()} == {"svm:2": 1.0, "knn:1": 0.0}
    assert joined.of(BOTH) == {}
    assert late.of(PEOPLE) == joined.of(PEOPLE)
    assert late.table == joined.table
