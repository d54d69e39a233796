"""Vector machines and neighbours are asked beside secrets where all that C believes is exact."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse  # type: ignore[import-untyped]  # scipy has no types
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from serving.container.errors import ArtifactInvalid
from serving.container.estimators.arithmetic import is_arithmetic
from serving.container.estimators.vouched import check_vouched
from tests.serving.container.artifacts import load_sklearn, zipped

POINTS = np.random.default_rng(0).random((12, 4))
SIDES = np.array([1, 0, 2, 0] * 3)


def neighbors(**options: Any) -> KNeighborsClassifier:
    return KNeighborsClassifier(3, **({"algorithm": "brute"} | options))


def is_known(model: Any, at: Path) -> bool:
    skops.io.dump(model, at)
    return is_arithmetic(at)


@pytest.mark.parametrize(
    "model",
    [
        SVC(),
        SVC(kernel="poly", degree=2),
        SVC(kernel="sigmoid", decision_function_shape="ovo"),
        make_pipeline(StandardScaler(), SVC(kernel="linear")),
        neighbors(),
        neighbors(weights="distance", metric="euclidean"),
        KNeighborsRegressor(3, algorithm="brute"),
    ],
)
@pytest.mark.parametrize("kind", [np.float64, np.int64])
def test_they_answer_as_they_did(model: Any, kind: type, artifact_file: Path) -> None:
    fitted = model.fit((POINTS * 9).astype(kind), SIDES)
    assert is_known(fitted, artifact_file)
    predictor = load_sklearn(fitted, at=artifact_file)
    answers = predictor.answer_batch([json.dumps(row).encode() for row in POINTS.tolist()])
    outputs = [json.loads(answer.payload) for answer in answers]
    assert outputs == pytest.approx(fitted.predict(POINTS).tolist())


@pytest.mark.parametrize(
    "model",
    [
        SVC(kernel="precomputed").fit(POINTS @ POINTS.T, SIDES),
        SVC().fit(scipy.sparse.csr_array(POINTS), SIDES),
        neighbors(algorithm="kd_tree").fit(POINTS, SIDES),
        neighbors(metric="manhattan").fit(POINTS, SIDES),
        neighbors(p=1).fit(POINTS, SIDES),
        neighbors().fit(POINTS, np.stack([SIDES, SIDES], axis=1)),
        neighbors().fit(scipy.sparse.csr_array(POINTS), SIDES),
        CalibratedClassifierCV(SVC(), cv=2).fit(POINTS, SIDES),
    ],
)
def test_others_of_their_kind_are_asked_in_a_box(model: Any, artifact_file: Path) -> None:
    assert not is_known(model, artifact_file)


def test_what_does_not_say_how_it_looks_is_asked_in_a_box(artifact_file: Path) -> None:
    skops.io.dump(SVC().fit(POINTS, SIDES), artifact_file)
    with zipfile.ZipFile(artifact_file) as archive:
        files: dict[str, str | bytes] = {each: archive.read(each) for each in archive.namelist()}
    schema = json.loads(files["schema.json"])
    broken: dict[str, Any]
    for broken in ({"content": {}}, {"content": {"content": []}}, {"content": None}):
        artifact_file.write_bytes(zipped(files | {"schema.json": json.dumps(schema | broken)}))
        assert not is_arithmetic(artifact_file)


def changed(model: Any, **attributes: Any) -> Any:
    fitted = model.fit(POINTS, SIDES)
    vars(fitted).update(attributes)
    return fitted


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (changed(SVC(), _n_support=np.array([99, 2, 3], np.int32)), "vectors of 3 classes"),
        (changed(SVC(), _n_support=np.array([14, -5, 3], np.int32)), "vectors of 3 classes"),
        (changed(SVC(), _n_support=np.zeros(0, np.int32)), "expected support vectors"),
        (changed(SVC(), support_=np.arange(99, dtype=np.int32)), "expected support vectors"),
        (changed(SVC(), support_vectors_=np.zeros((12, 9))), "expected support vectors"),
        (changed(SVC(), support_vectors_=[[0.0] * 4] * 12), "support_vectors_ is no array"),
        (changed(SVC(), _dual_coef_=np.zeros((1, 12))), "expected support vectors"),
        (changed(SVC(), _intercept_=np.zeros(1)), "expected support vectors"),
        (changed(SVC(), _probA=np.zeros(3)), "vectors of 3 classes"),
        (changed(SVC(), _probA=np.zeros(2), _probB=np.zeros(2)), "vectors of 3 classes"),
        (changed(SVC(), _impl="epsilon_svr"), "not what fitting makes"),
        (changed(SVC(), n_features_in_=9), "expected support vectors of 9 features"),
        (SVC(), "expected a fitted SVC, got a broken one"),
        (changed(neighbors(), n_samples_fit_=99), "expected 99 points, got 12"),
        (changed(neighbors(), n_neighbors=13), "expected 1 to 12 neighbours, got 13"),
        (changed(neighbors(), n_neighbors=0), "expected 1 to 12 neighbours, got 0"),
        (changed(neighbors(), n_neighbors="3"), "expected a fitted KNeighborsClassifier"),
        (changed(neighbors(), _fit_X=POINTS[:, :2].copy()), "expected points of 4 features"),
        (changed(neighbors(), _y=SIDES + 9), "expected points of 3 classes"),
        (changed(neighbors(), _y=SIDES[:3]), "expected a class for each of 12 points"),
        (changed(neighbors(), effective_metric_params_={"Y_norm_squared": 1}), "not what fitting"),
        (changed(KNeighborsRegressor(3, algorithm="brute"), n_neighbors=13), "got 13"),
    ],
)
def test_a_forged_one_is_refused(model: Any, message: str, artifact_file: Path) -> None:
    """As deep as it may lie in another."""
    with pytest.raises(ArtifactInvalid, match=message):
        check_vouched({"steps": [("last", model)]})
    with pytest.raises(ArtifactInvalid):
        load_sklearn(model, at=artifact_file)


def test_one_that_turns_out_otherwise_than_its_file_says_is_refused() -> None:
    for name, value in {"kernel": "precomputed", "_sparse": True}.items():
        with pytest.raises(ArtifactInvalid, match=f"{name} is"):
            check_vouched(changed(SVC(), **{name: value}))
    with pytest.raises(ArtifactInvalid, match="metric is 'manhattan'"):
        check_vouched(changed(neighbors(), metric="manhattan"))
