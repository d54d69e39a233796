"""Models whose arrays are others than C takes them for are refused; honest ones load and answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from serving.container.errors import ArtifactInvalid
from serving.container.estimators.arithmetic import is_arithmetic
from tests.serving.container.artifacts import load_sklearn

TEXTS = ["good film", "bad film", "fine day", "bad day"] * 3
SIDES = [1, 0, 1, 0] * 3
POINTS = np.random.default_rng(0).random((12, 4))


def words() -> Any:
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, SIDES)
    # Answers for a text without the word; with it, C would look behind the weights.
    model[0].vocabulary_["film"] = 50_000_000
    return model


def machine(**arrays: Any) -> Any:
    model = SVC().fit(POINTS, SIDES)
    vars(model).update(arrays)
    return model


def clusters(width: int) -> Any:
    model = KMeans(2, n_init=1).fit(POINTS)
    model.cluster_centers_ = np.zeros((2, width))
    return model


def encoder() -> Any:
    model = OneHotEncoder(sparse_output=False).fit(np.arange(12).reshape(-1, 1))
    vars(model)["_n_features_outs"] = [1]
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (words(), "expected a vocabulary of 5 words with their places"),
        (encoder(), "expected an encoder with a column for each of its categories"),
        (machine(_dual_coef_=np.zeros((1, 1))), "expected support vectors of 4 features"),
        (machine(_intercept_=np.zeros(0)), "expected support vectors of 4 features"),
        (machine(support_vectors_=np.zeros((12, 2))), "expected support vectors of 4 features"),
        (machine(_n_support=np.ones(9, np.int32)), "expected support vectors of 4 features"),
        (clusters(2), r"expected clusters of 4 features, got \[2, 2\]"),
    ],
)
def test_arrays_of_other_sizes_than_c_takes_them_for_are_refused(
    model: Any, message: str, artifact_file: Path
) -> None:
    method = "transform" if hasattr(model, "transform") else "predict"
    with pytest.raises(ArtifactInvalid, match=message):
        load_sklearn(model, at=artifact_file, input_type="json", method=method)


@pytest.mark.parametrize(
    "model", [SVC(), NuSVC(), SVR(), NuSVR(), OneClassSVM(), SVC(kernel="poly"), KMeans(2)]
)
def test_those_that_were_not_changed_load(model: Any, artifact_file: Path) -> None:
    fitted = model.fit(POINTS, SIDES)
    predictor = load_sklearn(fitted, at=artifact_file)
    answers = predictor.answer_batch([json.dumps(row).encode() for row in POINTS.tolist()])
    outputs = [json.loads(answer.payload) for answer in answers]
    assert outputs == pytest.approx(fitted.predict(POINTS).tolist())


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (SVC(kernel="precomputed"), POINTS @ POINTS.T),
        (CountVectorizer(max_features=2), TEXTS),  # which keeps its places as NumPy's integers
        (TfidfVectorizer(min_df=2), TEXTS),
        (OneHotEncoder(drop="if_binary", min_frequency=2), np.array([TEXTS, SIDES], object).T),
        (KBinsDiscretizer(2, encode="onehot-dense"), POINTS),
    ],
)
def test_those_of_fewer_or_other_arrays_load_too(
    model: Any, inputs: Any, artifact_file: Path
) -> None:
    method = "predict" if hasattr(model, "predict") else "transform"
    fitted = model.fit(inputs, SIDES)
    load_sklearn(fitted, at=artifact_file, input_type="json", method=method)


def vectorizer(**changes: Any) -> Any:
    return changed(CountVectorizer().fit(TEXTS), changes)


def one_hot(**changes: Any) -> Any:
    inputs = np.array([[-1.0, 0.0, 2.0] * 4]).T
    return changed(OneHotEncoder(handle_unknown="ignore").fit(inputs), changes)


def changed(model: Any, changes: dict[str, Any]) -> Any:
    vars(model).update(changes)
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (vectorizer(vocabulary_={"film": 0.5}), "a vocabulary of 1 words with their places"),
        (vectorizer(vocabulary_=["film"]), "a fitted CountVectorizer, got a broken one"),
        (vectorizer(build_analyzer=1), "not what fitting makes of it"),
        (one_hot(_n_features_outs=np.array([3])), "the categories of each feature"),
        # NumPy finds 2 behind the last of them.
        (one_hot(categories_=[np.array([2.0, 0.0, -1.0])]), "in no order"),
        (one_hot(categories_=[np.array([2, 0, -1], dtype=object)]), "in no order"),
        (one_hot(categories_=[[-1.0, 0.0, 2.0]]), "its categories are none"),
        (one_hot(n_features_in_=2), "the categories of each feature"),
    ],
)
def test_what_is_asked_beside_secrets_must_be_as_training_leaves_it(
    model: Any, message: str, artifact_file: Path
) -> None:
    artifact_file.write_bytes(skops.io.dumps(model))
    assert is_arithmetic(artifact_file)
    with pytest.raises(ArtifactInvalid, match=message):
        load_sklearn(model, at=artifact_file, input_type="json", method="transform")


CITIES = pd.DataFrame({"city": ["bern", None, "rome"] * 4, "age": SIDES, "old": [True] * 12})


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (make_pipeline(CountVectorizer(max_features=2), LogisticRegression()), TEXTS),
        (make_pipeline(TfidfVectorizer(stop_words=["good"]), LogisticRegression()), TEXTS),
        (
            make_pipeline(
                ColumnTransformer([("all", OneHotEncoder(), ["city", "age", "old"])]),
                LogisticRegression(),
            ),
            CITIES,
        ),
    ],
)
def test_what_most_pipelines_begin_with_is_asked_beside_secrets(
    model: Any, inputs: Any, artifact_file: Path
) -> None:
    fitted = model.fit(inputs, SIDES)
    artifact_file.write_bytes(skops.io.dumps(fitted))
    assert is_arithmetic(artifact_file)
    columns = hasattr(inputs, "columns")
    rows = json.loads(inputs.to_json(orient="records")) if columns else inputs
    predictor = load_sklearn(
        fitted, at=artifact_file, input_type="columns" if columns else "strings"
    )
    answers = predictor.answer_batch([json.dumps(row).encode() for row in rows])
    outputs = [json.loads(answer.payload) for answer in answers]
    assert outputs == fitted.predict(inputs).tolist()
