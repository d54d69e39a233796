"""XGBoost models answer as they do at home, with labels, probabilities and margins."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost

from serving.container.errors import ArtifactInvalid
from serving.container.runtimes import runs_code
from serving.container.signature import signature_of
from serving.rpc.frames import AnswerStatus
from tests.long import beginning_of
from tests.serving.container.artifacts import answered, ends_of_odd_bytes, load_as, zipped

ROWS = np.random.default_rng(0).random((60, 4))
BINARY = (ROWS[:, 0] > 0.5).astype(int)
THREE = BINARY + (ROWS[:, 1] > 0.7)
SMALL = {"n_estimators": 3, "max_depth": 2, "n_jobs": 1}

Model = dict[str, Any]


def saved(model: Any, *, form: str = "json") -> bytes:
    booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
    return bytes(booster.save_raw(form))


def changed(change: Callable[[Model], None], **options: Any) -> bytes:
    """A model of three classes whose file says something else."""
    model = json.loads(saved(xgboost.XGBClassifier(**SMALL | options).fit(ROWS, THREE)))
    change(model["learner"])
    return json.dumps(model).encode()


@pytest.mark.parametrize("form", ["json", "ubj"])
@pytest.mark.parametrize("labels", [BINARY, THREE])
def test_a_classifier_answers_with_labels_probabilities_and_margins(
    form: str, labels: Any, artifact_file: Path
) -> None:
    model = xgboost.XGBClassifier(**SMALL).fit(ROWS, labels)
    expected = {
        "": model.predict(ROWS),
        "predict_proba": model.predict_proba(ROWS),
        "decision_function": model.predict(ROWS, output_margin=True),
    }
    for method, outputs in expected.items():
        predictor = load_as("xgboost", saved(model, form=form), at=artifact_file, method=method)
        predictor.warm_up()
        assert predictor.n_features == 4
        assert answered(predictor, ROWS) == outputs.tolist()


def test_a_regression_answers_with_its_values(artifact_file: Path) -> None:
    model = xgboost.XGBRegressor(**SMALL).fit(ROWS, ROWS[:, 2])
    predictor = load_as("xgboost", saved(model), at=artifact_file)
    assert answered(predictor, ROWS) == model.predict(ROWS).tolist()
    with pytest.raises(ArtifactInvalid, match="a classifier for predict_proba, got one with reg:"):
        load_as("xgboost", saved(model), at=artifact_file, method="predict_proba")


@pytest.mark.parametrize("objective", ["binary:logitraw", "multi:softmax"])
def test_probabilities_follow_from_margins_where_the_objective_tells_none(
    objective: str, artifact_file: Path
) -> None:
    options = {"objective": objective, "max_depth": 2, "nthread": 1}
    options |= {"num_class": 3} if objective.startswith("multi") else {}
    labels = THREE if "num_class" in options else BINARY
    booster = xgboost.train(options, xgboost.DMatrix(ROWS, labels), num_boost_round=3)
    predictor = load_as("xgboost", saved(booster), at=artifact_file, method="predict_proba")
    probabilities = np.array(answered(predictor, ROWS))
    assert probabilities.sum(axis=1) == pytest.approx(1.0)
    told = load_as("xgboost", saved(booster), at=artifact_file)
    assert answered(told, ROWS) == probabilities.argmax(axis=1).tolist()
    assert np.mean(probabilities.argmax(axis=1) == labels) > 0.8


def test_classes_may_have_names(artifact_file: Path) -> None:
    booster = xgboost.XGBClassifier(**SMALL).fit(ROWS, BINARY).get_booster()
    booster.set_attr(classes='["cold", "hot"]')
    expected = np.array(["cold", "hot"])[
        xgboost.XGBClassifier(**SMALL).fit(ROWS, BINARY).predict(ROWS)
    ]
    assert answered(load_as("xgboost", saved(booster), at=artifact_file), ROWS) == expected.tolist()
    booster.set_attr(classes='["cold"]')
    with pytest.raises(ArtifactInvalid, match="expected the 2 classes of the model, got 1"):
        load_as("xgboost", saved(booster), at=artifact_file)


def test_only_the_rounds_up_to_the_best_answer(artifact_file: Path) -> None:
    model = xgboost.XGBClassifier(**SMALL | {"n_estimators": 40}, early_stopping_rounds=3)
    model.fit(ROWS[:30], THREE[:30], eval_set=[(ROWS[30:], THREE[30:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    model.save_model(artifact_file.with_suffix(".ubj"))
    content = artifact_file.with_suffix(".ubj").read_bytes()
    predictor = load_as("xgboost", content, at=artifact_file, method="predict_proba")
    assert answered(predictor, ROWS) == model.predict_proba(ROWS).tolist()


@pytest.mark.parametrize("kind", ["gblinear", "dart"])
def test_every_kind_of_booster_answers(kind: str, artifact_file: Path) -> None:
    model = xgboost.XGBRegressor(n_estimators=3, booster=kind, n_jobs=1).fit(ROWS, ROWS[:, 2])
    predictor = load_as("xgboost", saved(model), at=artifact_file)
    assert answered(predictor, ROWS) == pytest.approx(model.predict(ROWS))


@pytest.mark.parametrize("input_type", ["doubles", "json"])
def test_what_is_missing_goes_the_way_that_was_learned(
    input_type: str, artifact_file: Path
) -> None:
    model = xgboost.XGBClassifier(**SMALL).fit(ROWS, BINARY)
    predictor = load_as("xgboost", saved(model), at=artifact_file, input_type=input_type)
    rows = [[None, 0.5, 0.5, 0.5]]
    expected = model.predict(np.array([[np.nan, 0.5, 0.5, 0.5]])).tolist()
    assert answered(predictor, rows) == expected


def test_a_linear_booster_takes_nothing_that_is_missing(artifact_file: Path) -> None:
    """It would answer as if a zero were there."""
    model = xgboost.XGBRegressor(n_estimators=3, booster="gblinear", n_jobs=1)
    content = saved(model.fit(ROWS, ROWS[:, 2]))
    for input_type, message in (
        ("doubles", b"expected numbers, got NaN (null) at index 1"),
        ("json", b"expected a value, got null at [1]"),
    ):
        predictor = load_as("xgboost", content, at=artifact_file, input_type=input_type)
        (refused,) = predictor.answer_batch([b"[1, null, 1, 1]"])
        assert refused == (AnswerStatus.INVALID_INPUT, message)


def test_a_frame_is_answered_by_the_names_of_its_columns(artifact_file: Path) -> None:
    cities = pd.Categorical(np.array(["bern", "oslo", "rome"])[THREE])
    frame = pd.DataFrame({"age": ROWS[:, 0], "city": cities, "visits": np.arange(60) % 5})
    model = xgboost.XGBClassifier(**SMALL, enable_categorical=True).fit(frame, THREE == 1)
    predictor = load_as(
        "xgboost", saved(model), at=artifact_file, input_type="columns", method="predict_proba"
    )
    predictor.warm_up()
    assert signature_of(predictor, input_type="columns").columns == ("age", "city", "visits")
    rows = [dict(reversed(row.items())) for row in frame.to_dict("records")]
    expected = model.predict_proba(frame).tolist()
    assert answered(predictor, rows) == expected
    assert answered(predictor, rows[:1]) == expected[:1]  # whatever the batch's categories are
    nothing, other = {"age": None}, {"age": None, "city": "paris"}
    assert answered(predictor, [nothing]) == answered(predictor, [other])
    (bad,) = predictor.answer_batch([b'{"age": 1, "town": "bern"}'])
    assert bad == (
        AnswerStatus.INVALID_INPUT,
        b'expected the columns age, city, visits, got "town"',
    )


@pytest.mark.parametrize(
    "change",
    [
        {"sorted_idx": [99_999_999] * 3},
        {"sorted_idx": []},
        {"feature_segments": [0, 0, 99_999_999]},
        {"enc": [{"values": []}, {"values": [117, 118, 119], "offsets": [0, 1, 2, 99_999_999]}]},
        {"enc": [{"values": []}, {"values": [117], "offsets": [0, 1, 2, 3]}]},
        {"enc": [{"values": []}]},
    ],
)
def test_categories_that_are_not_there_are_refused(change: Model, artifact_file: Path) -> None:
    cities = pd.Categorical(np.array(["u", "v", "w"])[THREE])
    frame = pd.DataFrame({"age": ROWS[:, 0], "city": cities})
    trained = xgboost.XGBClassifier(**SMALL, enable_categorical=True).fit(frame, THREE == 1)
    model = json.loads(saved(trained))
    load_as("xgboost", json.dumps(model).encode(), at=artifact_file, input_type="columns")
    model["learner"]["gradient_booster"]["model"]["cats"] |= change
    with pytest.raises(ArtifactInvalid, match=r"expected the (categories|order) of"):
        load_as("xgboost", json.dumps(model).encode(), at=artifact_file, input_type="columns")


def test_a_row_of_the_wrong_width_fails_alone(artifact_file: Path) -> None:
    predictor = load_as(
        "xgboost", saved(xgboost.XGBClassifier(**SMALL).fit(ROWS, BINARY)), at=artifact_file
    )
    bad, good = predictor.answer_batch([b"[1,2,3]", b"[1,2,3,4]"])
    assert bad == (AnswerStatus.INVALID_INPUT, b"expected 4 numbers, got 3")
    assert good == (AnswerStatus.OK, b"1")


def test_a_value_that_is_no_number_fails_alone(artifact_file: Path) -> None:
    def break_a_leaf(learner: Model) -> None:
        tree = learner["gradient_booster"]["model"]["trees"][0]
        tree["split_conditions"][-1] = float("nan")
        tree["base_weights"][-1] = float("nan")

    predictor = load_as("xgboost", changed(break_a_leaf), at=artifact_file)
    answers = predictor.answer_batch([json.dumps(row).encode() for row in ROWS.tolist()])
    said = {answer.payload for answer in answers if answer.status is AnswerStatus.MODEL_FAILED}
    assert said == {b"expected a finite output, the model returned NaN or infinity"}
    assert {answer.status for answer in answers} == {AnswerStatus.OK, AnswerStatus.MODEL_FAILED}


WHOLE = saved(xgboost.XGBClassifier(**SMALL).fit(ROWS, BINARY))
BINARY_WHOLE = saved(xgboost.XGBClassifier(**SMALL).fit(ROWS, BINARY), form="ubj")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"expected a model saved by save_model\('model.json'\)"),
        (b"hello", "got a file starting b'hello'"),
        (zipped({"model.json": WHOLE}), "got a file starting b'PK"),
        (b"{}", "expected an XGBoost model, got a broken one: KeyError"),
        (b'{"learner": {}}', "expected an XGBoost model, got a broken one"),
        (WHOLE[: len(WHOLE) // 2], "got a broken one: JSONDecodeError"),
        (WHOLE[:-1], "got a broken one"),
        (BINARY_WHOLE[: len(BINARY_WHOLE) // 2], "got a broken one: .*it was cut off"),
        (BINARY_WHOLE + b"}", "got a broken one: .*expected one value"),
        (b"{" + b"L" + bytes(8) + b"{" * 100_000, "expected an XGBoost model, got"),
        (b'{"a":' * 100_000, "expected an XGBoost model, got"),
    ],
)
def test_what_is_no_model_is_refused(content: bytes, message: str, artifact_file: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=message) as refusal:
        load_as("xgboost", content, at=artifact_file)
    assert "Stack trace" not in str(refusal.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("left_children", 10_000, "expected the children of a tree among its"),
        ("left_children", -2, "two children or none"),
        ("left_children", 0, "expected the children of a tree among its"),
        ("right_children", 1, "a node below two others"),
        ("split_indices", 99, "expected a tree that asks about 4 features"),
    ],
)
def test_a_tree_that_leads_out_of_the_model_or_round_in_circles_is_refused(
    field: str, value: int, message: str, artifact_file: Path
) -> None:
    def redirect(learner: Model) -> None:
        learner["gradient_booster"]["model"]["trees"][0][field][0] = value

    with pytest.raises(ArtifactInvalid, match=message):
        load_as("xgboost", changed(redirect), at=artifact_file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # In 32 bits without a sign it would take memory for as many of every answer.
        ({"num_target": "-1"}, "how many features, classes or nodes there are, got '-1'"),
        (
            {"num_target": "4294967295"},
            "how many features, classes or nodes there are, got '4294967295'",
        ),
        ({"num_feature": "4_0"}, "how many features, classes or nodes there are, got '4_0'"),
        ({"num_target": "99999999"}, "expected a tree for each class, got 9 for 299999997"),
    ],
)
def test_more_classes_than_there_are_trees_are_refused(
    change: Model, message: str, artifact_file: Path
) -> None:
    with pytest.raises(ArtifactInvalid, match=message):
        load_as(
            "xgboost",
            changed(lambda learner: learner["learner_model_param"].update(change)),
            at=artifact_file,
        )


@pytest.mark.parametrize("number", [0, 99, -1])
def test_a_tree_in_the_place_of_another_is_refused(number: int, artifact_file: Path) -> None:
    def renumber(learner: Model) -> None:
        learner["gradient_booster"]["model"]["trees"][1]["id"] = number

    with pytest.raises(ArtifactInvalid, match="9 trees to have a number of its own"):
        load_as("xgboost", changed(renumber), at=artifact_file)


def test_what_xgboost_says_is_told_without_where_it_was(artifact_file: Path) -> None:
    def rename(learner: Model) -> None:
        learner["objective"]["name"] = "multi:none"

    with pytest.raises(ArtifactInvalid, match="got a broken one: Unknown objective"):
        load_as("xgboost", changed(rename), at=artifact_file)


def test_a_number_that_is_too_large_for_weights_is_the_callers_fault(artifact_file: Path) -> None:
    linear = xgboost.XGBRegressor(booster="gblinear", n_estimators=2).fit(ROWS, BINARY)
    predictor = load_as("xgboost", saved(linear), at=artifact_file)
    bad, good = predictor.answer_batch([b"[1e300,0,0,0]", b"[1,0,0,0]"])
    said = b"expected numbers that float32 holds, got 1e+300"
    assert bad == (AnswerStatus.INVALID_INPUT, said)
    assert good.status is AnswerStatus.OK


def test_a_tree_of_a_class_that_is_not_there_is_refused(artifact_file: Path) -> None:
    def misplace(learner: Model) -> None:
        learner["gradient_booster"]["model"]["tree_info"][0] = 1_000_000

    with pytest.raises(ArtifactInvalid, match="expected trees of 3 classes"):
        load_as("xgboost", changed(misplace), at=artifact_file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parents": [0, 99, 0]}, "expected the parents of a tree among its 3 nodes"),
        ({"parents": [0, 2**31 - 1, 0]}, "expected the parents of a tree among its 3 nodes"),
        ({"split_type": [1, 0, 0]}, "expected a tree that has the categories it asks for"),
        (
            {
                "split_type": [1, 0, 0],
                "categories": [1],
                "categories_nodes": [0],
                "categories_segments": [0],
                "categories_sizes": [9],
            },
            "expected a tree that has the categories it asks for",
        ),
        ({"split_conditions": [0.5]}, "expected all of each of the 3 nodes of a tree"),
        ({"base_weights": [0.5]}, "expected a tree with one weight for each node"),
    ],
)
def test_a_tree_without_all_that_it_needs_is_refused(
    change: Model, message: str, artifact_file: Path
) -> None:
    def spoil(learner: Model) -> None:
        learner["gradient_booster"]["model"]["trees"][0] |= change

    with pytest.raises(ArtifactInvalid, match=message):
        load_as("xgboost", changed(spoil, max_depth=1), at=artifact_file)


def test_a_good_model_beside_the_one_that_is_read_changes_nothing(artifact_file: Path) -> None:
    def hide_trees(learner: Model) -> None:
        booster = learner["gradient_booster"]
        booster["gbtree"] = {"model": copy.deepcopy(booster["model"])}
        booster["model"]["trees"][0]["left_children"][0] = 99_999_999

    with pytest.raises(ArtifactInvalid, match="expected the children of a tree among its"):
        load_as("xgboost", changed(hide_trees), at=artifact_file)

    def hide_weights(learner: Model) -> None:
        learner["gradient_booster"]["model"] |= {"weights": [0.5]}
        learner["gradient_booster"]["name"] = "gblinear"

    with pytest.raises(ArtifactInvalid, match="expected the weights of 4 features"):
        load_as("xgboost", changed(hide_weights), at=artifact_file)


@pytest.mark.parametrize("form", beginning_of(["ubj", "json"], rows=1))
def test_odd_bytes_are_refused_or_read_and_harm_nobody(form: str, artifact_file: Path) -> None:
    assert not runs_code("xgboost", allow_pickle=False)
    content = saved(xgboost.XGBClassifier(**SMALL).fit(ROWS, THREE), form=form)
    ends = ends_of_odd_bytes("xgboost", content, at=artifact_file, row="[1,2,3,4]")
    assert {"artifact_invalid", "read"} <= ends <= {"artifact_invalid", "load_failed", "read"}
