"""XGBoost models answer as they do at home, with labels, probabilities and margins."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost

from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.inputs.signature import signature_of
from serving.rpc.frames.codec import AnswerStatus
from tests.serving.container.artifacts import answered, load_as, zipped

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
    with pytest.raises(ArtifactInvalid, match="a classifier for predict_proba, got reg:"):
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
    for input_type in ("doubles", "json"):
        predictor = load_as("xgboost", content, at=artifact_file, input_type=input_type)
        (refused,) = predictor.answer_batch([b"[1, null, 1, 1]"])
        assert refused.status is AnswerStatus.INVALID_INPUT


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
        (b"{}", "expected an XGBoost model, got"),
        (b'{"learner": {}}', "expected an XGBoost model, got a broken one"),
        (WHOLE[: len(WHOLE) // 2], "expected an XGBoost model, got"),
        (BINARY_WHOLE[: len(BINARY_WHOLE) // 2], "expected an XGBoost model, got"),
    ],
)
def test_what_is_no_model_is_refused(content: bytes, message: str, artifact_file: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=message) as refusal:
        load_as("xgboost", content, at=artifact_file)
    assert "Stack trace" not in str(refusal.value)


def test_what_xgboost_says_is_told_without_where_it_was(artifact_file: Path) -> None:
    def rename(learner: Model) -> None:
        learner["objective"]["name"] = "multi:none"

    with pytest.raises(ArtifactInvalid, match="got a broken one: Unknown objective"):
        load_as("xgboost", changed(rename), at=artifact_file)
