"""Figures 7, 8 and 10 on made-up answers: what counts as wrong, as lost, as back, as learned."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.frames import Frame, Record, Records
from benchmarks.paper import fig7, fig8, fig10
from benchmarks.paper.fig7 import FIG7, MODELS, part
from benchmarks.paper.fig8 import FAILING, FAILS_AT, FIG8, LENSES, MENDED_AT, QUERIES, STEP, TITLES
from benchmarks.paper.fig10 import EVERYBODY, FIG10, LEARNED, OWN
from benchmarks.selection_simulation import Learner
from benchmarks.tests.drawing import told
from selection.policies import make_policy

ARMS = ("a:1", "b:1")


def test_a_learner_trusts_an_arm_less_by_the_policys_own_rule():
    learner = Learner(make_policy("exp4", {"eta": 0.5, "decay": 0.0}), arms=ARMS)
    learner.learn(learner.prepared.select(0.0), outputs={"a:1": b"1", "b:1": b"2"}, label=b"1")
    weights = learner.prepared.weights
    assert weights["b:1"] / weights["a:1"] == pytest.approx(math.exp(-0.5))


def test_a_learner_answers_by_the_weight_behind_each_output():
    learner = Learner(make_policy("exp4", {}), arms=("a:1", "b:1", "c:1"))
    outputs = {"a:1": b"1", "b:1": b"2", "c:1": b"2"}
    selection = learner.prepared.select(0.0)
    assert learner.answer(selection, outputs=outputs) == b"2"
    for _ in range(20):
        learner.learn(learner.prepared.select(0.0), outputs=outputs, label=b"1")
    assert learner.answer(selection, outputs=outputs) == b"1"


def test_a_context_starts_from_what_is_general():
    policy = make_policy("exp4", {"eta": 1.0, "decay": 0.0})
    general = Learner(policy, arms=ARMS)
    for _ in range(4):
        general.learn(general.prepared.select(0.0), outputs={"a:1": b"1", "b:1": b"2"}, label=b"1")
    weights = Learner(policy, arms=ARMS, context="u", states=general.states).prepared.weights
    assert weights["b:1"] / weights["a:1"] == pytest.approx(math.exp(-4.0))


def committee() -> Frame:
    """Four pictures of a 1: all three models right, two right, two wrong, all wrong."""
    predictions = {
        "x": np.array([1, 1, 7, 7]),
        "y": np.array([1, 1, 7, 7]),
        "z": np.array([1, 2, 1, 7]),
    }
    weights = dict.fromkeys(predictions, 1.0)
    return Frame(fig7.judge(predictions, labels=np.ones(4, int), weights=weights))


def test_the_ensemble_and_its_parts_are_counted():
    result = committee()
    assert fig7.errors(result).to_dict() == {"x": 0.5, "y": 0.5, "z": 0.5}
    assert part(result) == (0.5, 1.0)
    assert part(result, least=3) == (0.5, 0.5)
    assert part(result, below=3) == (0.5, 0.5)
    assert math.isnan(part(result, below=2).error)


def test_a_vote_follows_the_weights():
    predictions = {"x": np.array([1]), "y": np.array([7]), "z": np.array([7])}
    weights = {"x": 3.0, "y": 1.0, "z": 1.0}
    result = Frame(fig7.judge(predictions, labels=np.array([1]), weights=weights))
    assert part(result, least=1, below=2) == (0.0, 1.0)


def test_trust_is_nothing_for_a_coin_and_more_for_the_better():
    assert fig7.trust(0.5) == pytest.approx(0.0)
    assert fig7.trust(0.1) == pytest.approx(math.log(9.0))
    assert fig7.trust(0.0) < math.inf


def test_an_ensemble_worse_than_its_best_model_misses_the_target(tmp_path):
    predictions = {name: np.array([1, 1, 7, 7]) for name in MODELS}
    predictions["Trees"][2] = 1
    weights = dict.fromkeys(predictions, 1.0)
    found = fig7.judge(predictions, labels=np.ones(4, int), weights=weights)
    ensemble, *_ = told(FIG7, [record | {"split": 0} for record in found], tmp_path)
    assert (ensemble.seen, ensemble.holds) == (2.0, False)


def answers() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """One model is right but while it fails, one is wrong in every other query."""
    truth = np.ones(QUERIES, int)
    good, poor = truth.copy(), truth.copy()
    good[FAILS_AT:MENDED_AT] = 7
    poor[::2] = 7
    return {FAILING: good, "poor": poor}, truth


def runs_of(name: str, errors: list[float], share: list[float], *, seed: int = 0) -> Records:
    rows = enumerate(zip(errors, share, strict=True), start=1)
    about: Record = {"name": name, "seed": seed}
    return [about | {"queries": n * STEP, "error": e, "share": s} for n, (e, s) in rows]


@pytest.mark.parametrize("name", TITLES)
def test_a_policy_leaves_a_failed_model_and_returns_to_a_mended_one(name):
    predictions, truth = answers()
    wrong, share = fig8.learned(name, predictions, labels=truth, seed=1)
    result = Frame(runs_of(name, fig8._steps(wrong), fig8._steps(share)))
    lost = fig8.queries_until(result, name, begin=FAILS_AT, reached=lambda s: s < 0.2)
    back = fig8.queries_until(result, name, begin=MENDED_AT, reached=lambda s: s > 0.5)
    assert share[FAILS_AT - STEP : FAILS_AT].mean() > 0.9
    assert lost <= 1_000
    assert back <= 2_000
    assert wrong.mean() < 1 / 4


def test_a_share_is_lost_when_it_stays_low_and_not_when_it_dips():
    share = [0.9, 0.9, 0.1, *[0.9] * 6, *[0.1] * 10]
    result = Frame(runs_of("exp3", [0.0] * 19, share))
    lost = fig8.queries_until(result, "exp3", begin=200, reached=lambda s: s < 0.2)
    back = fig8.queries_until(result, "exp3", begin=900, reached=lambda s: s > 0.5)
    assert (lost, back) == (800, math.inf)


def test_a_policy_is_compared_with_the_best_model_of_its_run_and_a_late_return_is_missed(tmp_path):
    steps = QUERIES // STEP
    share = [0.9] * 50 + [0.1] * 75 + [0.9] * 75
    alone = [record for name in LENSES for record in runs_of(name, [0.4] * steps, [0.0] * steps)]
    policies = [record for name in TITLES for record in runs_of(name, [0.3] * steps, share)]
    error, lost, back, *_ = told(FIG8, [*alone, *policies], tmp_path)
    assert (error.seen, lost.seen) == (pytest.approx(0.75), 100)
    assert (back.seen, back.holds) == (2_600, False)


def personal(*learned: float) -> Records:
    errors = {EVERYBODY: [0.3], OWN: [0.1], LEARNED: learned}
    return [
        {"who": who, "feedbacks": n, "split": 0, "error": error}
        for who, each in errors.items()
        for n, error in enumerate(each)
    ]


@pytest.mark.parametrize(
    ("learned", "needed"),
    [
        ((0.5, 0.4, 0.29, 0.2), 2),
        ((0.5, 0.2, 0.31, 0.2), 3),
        ((0.29, 0.2), 0),
        ((0.5, 0.4), math.inf),
    ],
)
def test_feedbacks_are_needed_until_the_error_stays_below_that_for_everybody(learned, needed):
    assert fig10.feedbacks_needed(Frame(personal(*learned))) == needed


def test_a_context_that_learns_too_slowly_misses_the_targets(tmp_path):
    assert [one.holds for one in told(FIG10, personal(*[0.4] * 9), tmp_path)] == [False, False]
    assert [one.holds for one in told(FIG10, personal(*[0.2] * 9), tmp_path)] == [True, True]


def test_users_are_told_apart_with_real_models(monkeypatch):
    monkeypatch.setattr(fig10, "STRANGERS", 24)
    result = Frame(fig10.personal(splits=1, users=16))
    learned = fig10.error_of(result, LEARNED)
    assert len(learned) == fig10.FEEDBACKS + 1
    assert fig10.error_of(result, OWN)[0] < fig10.error_of(result, EVERYBODY)[0]
    assert learned.iloc[-1] < learned.iloc[0]


def test_every_user_of_a_dialect_asks_in_that_dialect():
    first = fig10.spoken(fig10.halves(1)[1], 0, generator=np.random.default_rng(1))
    last = fig10.spoken(fig10.halves(1)[1], 7, generator=np.random.default_rng(1))
    assert not np.allclose(first.images, last.images)
    assert np.array_equal(first.labels, last.labels)
