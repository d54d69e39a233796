"""LightGBM models answer as they do at home, with labels, probabilities and raw scores."""

import hashlib
import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest

from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.inputs.signature import signature_of
from tests.serving.container.artifacts import answered, load_as, run_python, zipped

ROWS = np.random.default_rng(0).random((60, 4))
BINARY = (ROWS[:, 0] > 0.5).astype(int)
THREE = BINARY + (ROWS[:, 1] > 0.7)
SMALL = {"num_leaves": 4, "min_data_in_leaf": 2, "verbosity": -1, "num_threads": 1}


def trained(objective: str, labels: Any, **options: Any) -> lightgbm.Booster:
    options = {**SMALL, "objective": objective, **options}
    return lightgbm.train(options, lightgbm.Dataset(ROWS, labels), num_boost_round=3)


def saved(booster: lightgbm.Booster) -> bytes:
    return booster.model_to_string().encode()


@pytest.fixture(scope="module")
def three() -> lightgbm.Booster:
    return trained("multiclass", THREE, num_class=3)


@pytest.fixture(scope="module")
def text(three: lightgbm.Booster) -> str:
    return three.model_to_string()


def test_a_classifier_answers_with_labels_probabilities_and_raw_scores(
    three: lightgbm.Booster, artifact_file: Path
) -> None:
    probabilities = three.predict(ROWS)
    expected = {
        "": probabilities.argmax(axis=1),
        "predict_proba": probabilities,
        "decision_function": three.predict(ROWS, raw_score=True),
    }
    for method, outputs in expected.items():
        predictor = load_as("lightgbm", saved(three), at=artifact_file, method=method)
        predictor.warm_up()
        assert predictor.n_features == 4
        assert answered(predictor, ROWS) == outputs.tolist()


def test_two_classes_have_a_probability_each(artifact_file: Path) -> None:
    booster = trained("binary", BINARY)
    predictor = load_as("lightgbm", saved(booster), at=artifact_file, method="predict_proba")
    expected: Any = booster.predict(ROWS)
    assert answered(predictor, ROWS) == np.stack([1 - expected, expected], axis=1).tolist()
    labels = answered(load_as("lightgbm", saved(booster), at=artifact_file), ROWS)
    assert labels == (expected > 0.5).astype(int).tolist()


def test_a_regression_answers_with_its_values(artifact_file: Path) -> None:
    booster = trained("regression", ROWS[:, 2])
    predictor = load_as("lightgbm", saved(booster), at=artifact_file)
    assert answered(predictor, ROWS) == booster.predict(ROWS).tolist()
    with pytest.raises(ArtifactInvalid, match="a classifier for predict_proba, got regression"):
        load_as("lightgbm", saved(booster), at=artifact_file, method="predict_proba")


def test_the_classifier_of_a_notebook_is_loaded_with_the_names_of_its_classes(
    artifact_file: Path,
) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=3, num_leaves=4, n_jobs=1, verbosity=-1)
    model.fit(ROWS, np.array(["cold", "mild", "hot"])[THREE])
    files = {
        "model.txt": model.booster_.model_to_string(),
        "classes.json": json.dumps(model.classes_.tolist()),
    }
    predictor = load_as("lightgbm", zipped(files), at=artifact_file)
    assert answered(predictor, ROWS) == model.predict(ROWS).tolist()


def test_categories_are_asked_for(artifact_file: Path) -> None:
    rows = np.column_stack([ROWS, np.arange(60) % 7])
    data = lightgbm.Dataset(rows, np.arange(60) % 7 == 3, categorical_feature=[4])
    options = {**SMALL, "objective": "binary", "min_data_per_group": 1, "cat_smooth": 0}
    booster = lightgbm.train(options, data, num_boost_round=3)
    assert "cat_threshold" in booster.model_to_string()
    predictor = load_as("lightgbm", saved(booster), at=artifact_file, method="decision_function")
    assert answered(predictor, rows) == booster.predict(rows, raw_score=True).tolist()


@pytest.mark.parametrize("input_type", ["doubles", "json"])
def test_what_is_missing_goes_the_way_that_was_learned(
    input_type: str, three: lightgbm.Booster, artifact_file: Path
) -> None:
    predictor = load_as(
        "lightgbm", saved(three), at=artifact_file, input_type=input_type, method="predict_proba"
    )
    expected = three.predict(np.array([[np.nan, 0.5, 0.5, 0.5]])).tolist()
    assert answered(predictor, [[None, 0.5, 0.5, 0.5]]) == expected


def test_a_frame_is_answered_by_the_names_of_its_columns(artifact_file: Path) -> None:
    cities = pd.Categorical(np.array(["bern", "oslo", "rome"])[THREE])
    frame = pd.DataFrame({"age": ROWS[:, 0], "city": cities, "visits": np.arange(60) % 5})
    options: dict[str, Any] = {**SMALL, "n_estimators": 3, "min_data_per_group": 1, "cat_smooth": 0}
    model = lightgbm.LGBMClassifier(**options).fit(frame, THREE == 1)
    predictor = load_as(
        "lightgbm",
        saved(model.booster_),
        at=artifact_file,
        input_type="columns",
        method="predict_proba",
    )
    predictor.warm_up()
    assert signature_of(predictor, input_type="columns").columns == ("age", "city", "visits")
    rows = [dict(reversed(row.items())) for row in frame.to_dict("records")]
    expected: Any = model.predict_proba(frame)
    expected = expected.tolist()
    assert len({tuple(scores) for scores in expected}) > 1
    assert answered(predictor, rows) == expected
    assert answered(predictor, rows[-1:]) == expected[-1:]  # whatever the batch's categories are
    nothing, other = {"age": None}, {"age": None, "city": "paris"}
    assert answered(predictor, [nothing]) == answered(predictor, [other])


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
    cities = pd.Categorical(np.array(["bern", "oslo", "rome"])[THREE])
    frame = pd.DataFrame({"age": ROWS[:, 0], "city": cities, "visits": np.arange(60) % 5})
    options = {**SMALL, "objective": "regression", "min_data_per_group": 1, "cat_smooth": 0}
    booster = lightgbm.train(options, lightgbm.Dataset(frame, THREE), num_boost_round=3)
    artifact_file.write_bytes(saved(booster))
    digest = hashlib.sha256(artifact_file.read_bytes()).hexdigest()
    rows = json.dumps(frame.to_dict("records"))
    done = run_python(ANSWERS, artifact_file, digest, rows)
    expected: Any = booster.predict(frame)
    assert list(map(float, json.loads(done.stdout))) == expected.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"expected a model saved by booster.save_model\('model.txt'\)"),
        (b'{"learner": {}}', "got a file starting b'{\"learne'"),
        (b"tree\nversion=v4\nend of trees\n", "got a broken one: Model file doesn't specify"),
        (
            zipped({"a.txt": "", "b.txt": ""}),
            r"expected one \.txt file in the zip, got a.txt, b.txt",
        ),
        (zipped({"classes.json": "[]"}), r"expected one \.txt file in the zip, got none"),
        (b"PK\x03\x04 truncated", "expected a zip that can be unpacked"),
    ],
)
def test_what_is_no_model_is_refused(content: bytes, message: str, artifact_file: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=message):
        load_as("lightgbm", content, at=artifact_file)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_file_that_is_cut_off_is_refused(text: str, share: float, artifact_file: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="got a file that was cut off"):
        load_as("lightgbm", text[: int(len(text) * share)].encode(), at=artifact_file)
