"""scikit-learn models answer as they do at home; pickles need permission."""

import io
import json
import pickle
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from serving.container.failures.container_errors import (
    ArtifactInvalid,
    PickleRefused,
    UntrustedTypes,
)
from serving.rpc.frames.codec import AnswerStatus
from tests.serving.container.artifacts import answered, load_sklearn, zipped


def joblibbed(model: Any, *, compress: Any = 0) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=compress)
    return buffer.getvalue()


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the pickle was loaded",))


def test_digits_are_answered_as_scikit_learn_answers_them(
    svm: LinearSVC, digits: tuple[Any, Any], rows: list[bytes], artifact_file: Path
) -> None:
    predictor = load_sklearn(svm, at=artifact_file)
    predictor.warm_up()
    answers = predictor.answer_batch(rows)
    assert [answer.status for answer in answers] == [AnswerStatus.OK] * 64
    labels = svm.predict(digits[0][:64]).tolist()
    assert [answer.payload for answer in answers] == [b"%d" % label for label in labels]


def test_scikit_learn_never_has_narwhals_look_at_an_array(
    svm: LinearSVC, rows: list[bytes], artifact_file: Path
) -> None:
    """Fails if scikit-learn asks narwhals in another way, which takes 40 % of a lone batch."""
    predictor = load_sklearn(svm, at=artifact_file)
    called: list[str] = []

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            called.append(frame.f_globals["__name__"])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        predictor.answer_batch(rows)
    finally:
        sys.setprofile(before)
    assert "sklearn.utils.validation" in called
    assert not [name for name in called if name.startswith("narwhals")]


@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
def test_a_version_is_asked_for_what_it_names(method: str, artifact_file: Path) -> None:
    rows = np.array([[0.0], [1.0], [2.0]])
    model = LogisticRegression().fit(rows, [0, 1, 1])
    predictor = load_sklearn(model, at=artifact_file, method=method)
    answers = predictor.answer_batch([b"[0]", b"[1]", b"[2]"])
    assert [json.loads(answer.payload) for answer in answers] == getattr(model, method)(
        rows
    ).tolist()


def test_probabilities_of_several_outputs_come_by_input(artifact_file: Path) -> None:
    """As many inputs as outputs, too, where the list that predict_proba returns would pass."""
    outputs = np.array([[0, 0], [1, 0], [1, 1], [0, 1]] * 5)
    rows = np.random.default_rng(1).normal(size=(20, 3)) + outputs.sum(axis=1, keepdims=True)
    model = MultiOutputClassifier(LogisticRegression()).fit(rows, outputs)
    predictor = load_sklearn(model, at=artifact_file, method="predict_proba")
    expected = np.stack(model.predict_proba(rows), axis=1)
    for count in (1, 2, 20):
        assert np.allclose(answered(predictor, rows[:count]), expected[:count])


def test_a_transformer_answers_with_what_it_makes_of_a_row(artifact_file: Path) -> None:
    scaler = StandardScaler().fit([[0.0, 0.0], [2.0, 4.0]])
    predictor = load_sklearn(scaler, at=artifact_file, method="transform")
    assert predictor.answer_batch([b"[2, 0]"])[0].payload == b"[1.0,-1.0]"


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("predict_proba", r"expected a model with predict_proba\(\), got LinearRegression"),
        ("fit", "expected a method out of predict, .*, got 'fit'"),
    ],
)
def test_a_method_that_the_model_lacks_is_refused(
    method: str, message: str, artifact_file: Path
) -> None:
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    with pytest.raises(ArtifactInvalid, match=message):
        load_sklearn(model, at=artifact_file, method=method)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_joblib_needs_permission_whatever_its_compression(
    svm: LinearSVC, rows: list[bytes], artifact_file: Path, compress: Any
) -> None:
    content = joblibbed(svm, compress=compress)
    with pytest.raises(PickleRefused, match=r"skops.io.dump\(model, 'model.skops'\), or upload"):
        load_sklearn(content, at=artifact_file)
    (answer,) = load_sklearn(content, at=artifact_file, allow_pickle=True).answer_batch(rows[:1])
    assert answer == (AnswerStatus.OK, b"0")


def test_a_pickle_is_not_run_to_find_out_what_it_is(artifact_file: Path) -> None:
    for content in (pickle.dumps(Bomb()), joblibbed(Bomb(), compress=3)):
        with pytest.raises(PickleRefused):
            load_sklearn(content, at=artifact_file.with_suffix(".skops"))


def test_a_skops_file_with_untrusted_types_is_refused_with_their_names(
    artifact_file: Path,
) -> None:
    model = make_pipeline(FunctionTransformer(np.nan_to_num), LinearSVC())
    model.fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(UntrustedTypes, match=r"numpy\.nan_to_num"):
        load_sklearn(model, at=artifact_file)
    assert load_sklearn(model, at=artifact_file, allow_pickle=True).n_features == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello world", "expected a skops, joblib or pickle file, got one starting b'hello wo'"),
        (b"", "expected a skops, joblib or pickle file"),
        (b"PK\x03\x04 truncated", "expected a skops file, got a broken one"),
        (zipped({"a.txt": "no schema"}), "expected a skops file, got a broken one"),
        (skops.io.dumps(StandardScaler().fit([[1.0]])), r"expected a model with predict\(\)"),
        (skops.io.dumps(LinearSVC()), "expected a fitted model"),
    ],
)
def test_what_is_no_model_is_refused(content: bytes, message: str, artifact_file: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=message):
        load_sklearn(content, at=artifact_file)
