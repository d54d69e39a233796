"""XGBoost's and LightGBM's models answer as at home, with labels, probabilities and scores."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.inputs.signature import signature_of
from serving.rpc.frames.codec import AnswerStatus
from tests.serving.container.artifacts import answered, load_as, run_python, zipped

ROWS = np.random.default_rng(0).random((60, 4))
BINARY = (ROWS[:, 0] > 0.5).astype(int)
THREE = BINARY + (ROWS[:, 1] > 0.7)
FRAME = pd.DataFrame(
    {
        "age": ROWS[:, 0],
        "city": pd.Categorical(np.array(["bern", "oslo", "rome"])[THREE]),
        "visits": np.arange(60) % 5,
    }
)
SMALL = {"n_estimators": 3, "max_depth": 2, "n_jobs": 1}
SMALL_LIGHT = {
    **{"n_estimators": 3, "num_leaves": 4, "min_child_samples": 2, "n_jobs": 1, "verbosity": -1},
    **{"min_data_per_group": 1, "cat_smooth": 0},
}
Model = dict[str, Any]


def saved(model: Any, *, form: str = "json") -> bytes:
    if isinstance(model, lightgbm.LGBMModel):
        return model.booster_.model_to_string().encode()
    booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
    return bytes(booster.save_raw(form))


def of(runtime: str, kind: str, **options: Any) -> Any:
    """A model that isn't fitted."""
    if runtime == "xgboost":
        return getattr(xgboost, f"XGB{kind}")(**SMALL | options)
    return getattr(lightgbm, f"LGBM{kind}")(**SMALL_LIGHT | options)


def raw_scores(model: Any) -> Any:
    is_light = isinstance(model, lightgbm.LGBMModel)
    return model.predict(ROWS, **({"raw_score": True} if is_light else {"output_margin": True}))


both = pytest.mark.parametrize("runtime", ["xgboost", "lightgbm"])


@pytest.mark.parametrize("labels", [BINARY, THREE])
@pytest.mark.parametrize(
    ("runtime", "form"), [("xgboost", "json"), ("xgboost", "ubj"), ("lightgbm", "text")]
)
def test_a_classifier_answers_with_labels_probabilities_and_scores(
    runtime: str, form: str, labels: Any, artifact_file: Path
) -> None:
    model = of(runtime, "Classifier").fit(ROWS, labels)
    expected = {
        "": model.predict(ROWS),
        "predict_proba": model.predict_proba(ROWS),
        "decision_function": raw_scores(model),
    }
    for method, outputs in expected.items():
        predictor = load_as(runtime, saved(model, form=form), at=artifact_file, method=method)
        predictor.warm_up()
        assert predictor.n_features == 4
        assert answered(predictor, ROWS) == outputs.tolist()


@both
def test_a_regression_answers_with_its_values(runtime: str, artifact_file: Path) -> None:
    model = of(runtime, "Regressor").fit(ROWS, ROWS[:, 2])
    predictor = load_as(runtime, saved(model), at=artifact_file)
    assert answered(predictor, ROWS) == model.predict(ROWS).tolist()
    with pytest.raises(ArtifactInvalid, match="a classifier for predict_proba"):
        load_as(runtime, saved(model), at=artifact_file, method="predict_proba")


@both
@pytest.mark.parametrize("input_type", ["doubles", "json"])
def test_what_is_missing_goes_the_way_that_was_learned(
    runtime: str, input_type: str, artifact_file: Path
) -> None:
    model = of(runtime, "Classifier").fit(ROWS, THREE)
    predictor = load_as(
        runtime, saved(model), at=artifact_file, input_type=input_type, method="predict_proba"
    )
    expected = model.predict_proba(np.array([[np.nan, 0.5, 0.5, 0.5]])).tolist()
    assert answered(predictor, [[None, 0.5, 0.5, 0.5]]) == expected


@both
def test_a_frame_is_answered_by_the_names_of_its_columns(runtime: str, artifact_file: Path) -> None:
    options = {"enable_categorical": True} if runtime == "xgboost" else {}
    model = of(runtime, "Classifier", **options).fit(FRAME, THREE == 1)
    predictor = load_as(
        runtime, saved(model), at=artifact_file, input_type="columns", method="predict_proba"
    )
    predictor.warm_up()
    assert signature_of(predictor, input_type="columns").columns == ("age", "city", "visits")
    rows = [dict(reversed(row.items())) for row in FRAME.to_dict("records")]
    expected = model.predict_proba(FRAME).tolist()
    assert len({tuple(scores) for scores in expected}) > 1
    assert answered(predictor, rows) == expected
    assert answered(predictor, rows[-1:]) == expected[-1:]  # whatever the batch's categories are
    nothing, other = {"age": None}, {"age": None, "city": "paris"}
    assert answered(predictor, [nothing]) == answered(predictor, [other])
    (bad,) = predictor.answer_batch([b'{"age": 1, "town": "bern"}'])
    assert bad.status is AnswerStatus.INVALID_INPUT


@both
def test_what_is_no_model_is_refused(runtime: str, artifact_file: Path) -> None:
    whole = saved(of(runtime, "Classifier").fit(ROWS, THREE))
    contents = [b"", b"hello", b"{}", b'{"learner": {}}', b"tree\nversion=v4\nend of trees\n"]
    contents += [b"PK\x03\x04 truncated", zipped({"a.txt": "", "b.txt": ""}), zipped({"a": "[]"})]
    contents += [whole[: int(len(whole) * share)] for share in (0.1, 0.3)]
    for content in contents:
        with pytest.raises(ArtifactInvalid) as refusal:
            load_as(runtime, content, at=artifact_file)
        assert "Stack trace" not in str(refusal.value)


# --- XGBoost -------------------------------------------------------------------------------------


def changed(change: Callable[[Model], None]) -> bytes:
    """A model of three classes whose file says something else."""
    model = json.loads(saved(of("xgboost", "Classifier").fit(ROWS, THREE)))
    change(model["learner"])
    return json.dumps(model).encode()


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
    labelled = load_as("xgboost", saved(booster), at=artifact_file)
    assert answered(labelled, ROWS) == probabilities.argmax(axis=1).tolist()
    assert np.mean(probabilities.argmax(axis=1) == labels) > 0.8


def test_classes_may_have_names(artifact_file: Path) -> None:
    model = of("xgboost", "Classifier").fit(ROWS, BINARY)
    booster = model.get_booster()
    booster.set_attr(classes='["cold", "hot"]')
    expected = np.array(["cold", "hot"])[model.predict(ROWS)]
    assert answered(load_as("xgboost", saved(booster), at=artifact_file), ROWS) == expected.tolist()
    booster.set_attr(classes='["cold"]')
    with pytest.raises(ArtifactInvalid, match="expected the 2 classes of the model, got 1"):
        load_as("xgboost", saved(booster), at=artifact_file)


def test_only_the_rounds_up_to_the_best_answer(artifact_file: Path) -> None:
    model = of("xgboost", "Classifier", n_estimators=40, early_stopping_rounds=3)
    model.fit(ROWS[:30], THREE[:30], eval_set=[(ROWS[30:], THREE[30:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    model.save_model(artifact_file.with_suffix(".ubj"))
    content = artifact_file.with_suffix(".ubj").read_bytes()
    predictor = load_as("xgboost", content, at=artifact_file, method="predict_proba")
    assert answered(predictor, ROWS) == model.predict_proba(ROWS).tolist()


@pytest.mark.parametrize("kind", ["gblinear", "dart"])
def test_every_kind_of_booster_answers(kind: str, artifact_file: Path) -> None:
    """A linear one takes nothing that is missing: it would answer as if a zero were there."""
    model = xgboost.XGBRegressor(n_estimators=3, booster=kind, n_jobs=1).fit(ROWS, ROWS[:, 2])
    for input_type in ("doubles", "json"):
        predictor = load_as("xgboost", saved(model), at=artifact_file, input_type=input_type)
        assert answered(predictor, ROWS) == pytest.approx(model.predict(ROWS))
        (answer,) = predictor.answer_batch([b"[1, null, 1, 1]"])
        assert (answer.status is AnswerStatus.INVALID_INPUT) == (kind == "gblinear")


def test_a_number_that_is_too_large_for_weights_is_the_callers_fault(artifact_file: Path) -> None:
    names = ["a", "b", "c", "d"]
    linear = xgboost.XGBRegressor(booster="gblinear", n_estimators=2)
    content = saved(linear.fit(pd.DataFrame(ROWS, columns=names), BINARY))
    for input_type in ("doubles", "json", "columns"):
        predictor = load_as("xgboost", content, at=artifact_file, input_type=input_type)
        large: Any = [1e39, 0, 0, 0]
        rows = [dict(zip(names, row, strict=True)) for row in (large, [1, 0, 0, 0])]
        raws = rows if input_type == "columns" else [[*row.values()] for row in rows]
        bad, good = predictor.answer_batch([json.dumps(raw).encode() for raw in raws])
        assert bad.status is AnswerStatus.INVALID_INPUT
        assert good.status is AnswerStatus.OK


def test_a_value_that_is_no_number_fails_alone(artifact_file: Path) -> None:
    def break_a_leaf(learner: Model) -> None:
        tree = learner["gradient_booster"]["model"]["trees"][0]
        tree["split_conditions"][-1] = float("nan")
        tree["base_weights"][-1] = float("nan")

    predictor = load_as("xgboost", changed(break_a_leaf), at=artifact_file)
    answers = predictor.answer_batch([json.dumps(row).encode() for row in ROWS.tolist()])
    assert {answer.status for answer in answers} == {AnswerStatus.OK, AnswerStatus.MODEL_FAILED}


def test_what_xgboost_says_is_told_without_where_it_was(artifact_file: Path) -> None:
    def rename(learner: Model) -> None:
        learner["objective"]["name"] = "multi:none"

    with pytest.raises(ArtifactInvalid, match="got a broken one: Unknown objective"):
        load_as("xgboost", changed(rename), at=artifact_file)


# --- LightGBM ------------------------------------------------------------------------------------


def test_the_names_of_classes_lie_beside_the_model(artifact_file: Path) -> None:
    model = of("lightgbm", "Classifier").fit(ROWS, np.array(["cold", "mild", "hot"])[THREE])
    classes = json.dumps(model.classes_.tolist()).encode()
    files = {"model.txt": saved(model), "classes.json": classes}
    predictor = load_as("lightgbm", zipped(files), at=artifact_file)
    assert answered(predictor, ROWS) == model.predict(ROWS).tolist()


# As a replica does: LightGBM is imported there by its runtime, without pandas.
ANSWERS = """
import json, sys
from pathlib import Path
from serving.container.loading import load_predictor
from serving.container.spec import LoadSpec

path, digest, rows = sys.argv[1:]
spec = LoadSpec(
    artifact=Path(path), sha256=digest, runtime="lightgbm", input_type="columns"
)
answers = load_predictor(spec).answer_batch([json.dumps(row).encode() for row in json.loads(rows)])
print(json.dumps([answer.payload.decode() for answer in answers]))
"""


def test_a_frame_is_answered_where_lightgbm_knows_nothing_of_pandas(artifact_file: Path) -> None:
    model = of("lightgbm", "Regressor").fit(FRAME, THREE)
    artifact_file.write_bytes(saved(model))
    digest = hashlib.sha256(artifact_file.read_bytes()).hexdigest()
    done = run_python(ANSWERS, artifact_file, digest, json.dumps(FRAME.to_dict("records")))
    assert list(map(float, json.loads(done.stdout))) == model.predict(FRAME).tolist()
