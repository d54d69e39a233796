"""CatBoost models answer as they do at home, with labels, probabilities and raw values."""

from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pandas as pd
import pytest

from serving.container.failures.container_errors import ArtifactInvalid
from serving.rpc.frames.codec import AnswerStatus
from tests.serving.container.artifacts import answered, load_as, zipped

ROWS = np.random.default_rng(0).random((60, 4))
BINARY = (ROWS[:, 0] > 0.5).astype(int)
THREE = np.array(["cold", "mild", "hot"])[BINARY + (ROWS[:, 1] > 0.7)]
SMALL: dict[str, Any] = {
    "iterations": 5,
    "depth": 2,
    "verbose": 0,
    "thread_count": 1,
    "allow_writing_files": False,
}


def kept(model: Any, *, at: Path) -> bytes:
    model.save_model(str(at.with_suffix(".cbm")))
    return at.with_suffix(".cbm").read_bytes()


@pytest.fixture(scope="module")
def classifier() -> Any:
    return catboost.CatBoostClassifier(**SMALL).fit(ROWS, THREE)


@pytest.fixture(scope="module")
def content(classifier: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return kept(classifier, at=tmp_path_factory.mktemp("catboost") / "model")


@pytest.mark.parametrize("labels", [BINARY, BINARY > 0, THREE])
def test_a_classifier_answers_with_its_own_labels_probabilities_and_raw_values(
    labels: Any, artifact_file: Path
) -> None:
    model = catboost.CatBoostClassifier(**SMALL).fit(ROWS, labels)
    content = kept(model, at=artifact_file)
    expected = {
        "": np.ravel(model.predict(ROWS)),
        "predict_proba": model.predict_proba(ROWS),
        "decision_function": model.predict(ROWS, prediction_type="RawFormulaVal"),
    }
    for method, outputs in expected.items():
        predictor = load_as("catboost", content, at=artifact_file, method=method)
        predictor.warm_up()
        assert predictor.n_features == 4
        assert answered(predictor, ROWS) == outputs.tolist()


def test_a_regression_answers_with_its_values(artifact_file: Path) -> None:
    model = catboost.CatBoostRegressor(**SMALL).fit(ROWS, ROWS[:, 2])
    content = kept(model, at=artifact_file)
    assert answered(load_as("catboost", content, at=artifact_file), ROWS) == pytest.approx(
        model.predict(ROWS)
    )
    with pytest.raises(ArtifactInvalid, match="a classifier for predict_proba, got a regressor"):
        load_as("catboost", content, at=artifact_file, method="predict_proba")


def test_categories_are_columns_of_texts(artifact_file: Path) -> None:
    cities = np.array(["bern", "oslo", "rome"])[np.arange(60) % 3]
    frame = pd.DataFrame({"age": ROWS[:, 0], "city": cities})
    model = catboost.CatBoostClassifier(**SMALL, cat_features=["city"])
    model.fit(frame, (cities == "oslo").astype(int))
    content = kept(model, at=artifact_file)
    predictor = load_as(
        "catboost", content, at=artifact_file, input_type="columns", method="predict_proba"
    )
    predictor.warm_up()
    rows = [dict(reversed(row.items())) for row in frame.to_dict("records")]
    assert answered(predictor, rows) == model.predict_proba(frame).tolist()
    unknown, missing, bad = predictor.answer_batch(
        [b'{"age": 1, "city": "paris"}', b'{"age": null, "city": "oslo"}', b'{"age": 1}']
    )
    assert (unknown.status, missing.status) == (AnswerStatus.OK, AnswerStatus.OK)
    assert bad == (
        AnswerStatus.INVALID_INPUT,
        b'expected the column "city", got a row without it',
    )
    lists = load_as("catboost", content, at=artifact_file, input_type="json")
    assert answered(lists, [[0.5, "oslo"]]) == [1]


def test_what_is_missing_goes_the_way_that_was_learned(
    content: bytes, classifier: Any, artifact_file: Path
) -> None:
    predictor = load_as("catboost", content, at=artifact_file, method="predict_proba")
    rows = [[None, 0.5, 0.5, 0.5]]
    assert answered(predictor, rows) == classifier.predict_proba([[np.nan, 0.5, 0.5, 0.5]]).tolist()


NO_MODELS = [
    *(b"", b"hello", b'{"learner": {}}', zipped({"model.cbm": b""})),
    *(b"CBM1\x40\0\0\0", b"CBM1\x40\0\0\0" + bytes(64)),
]


@pytest.mark.parametrize("content", NO_MODELS)
def test_what_is_no_model_is_refused(content: bytes, artifact_file: Path) -> None:
    with pytest.raises(ArtifactInvalid):
        load_as("catboost", content, at=artifact_file)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused(
    content: bytes, share: float, artifact_file: Path
) -> None:
    with pytest.raises(ArtifactInvalid, match="got a file that was cut off"):
        load_as("catboost", content[: int(len(content) * share)], at=artifact_file)
