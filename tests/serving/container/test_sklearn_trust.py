"""Trees and neighbours load without pickle; what could run or reach anything else doesn't."""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.svm import NuSVC
from sklearn.tree import DecisionTreeClassifier

from serving.container.boxed import BoxedPredictor
from serving.container.errors import ArtifactInvalid, UntrustedTypes
from serving.container.estimators.arithmetic import is_arithmetic
from serving.container.estimators.trusted import TRUSTED
from serving.container.runtimes import belongs_in_a_box
from serving.container.spec import LoadSpec
from serving.rpc.frames import AnswerStatus
from tests.serving.container.artifacts import load_sklearn, save, zipped

DIGITS = slice(0, 200)
MODELS: dict[str, Any] = {
    "tree": DecisionTreeClassifier(max_depth=4),
    "forest": RandomForestClassifier(4, max_depth=4),
    "extra": ExtraTreesClassifier(4, max_depth=4),
    "boosting": GradientBoostingClassifier(n_estimators=2),
    "histograms": HistGradientBoostingClassifier(max_iter=2),
    "regression": HistGradientBoostingRegressor(max_iter=2),
    "bagging": BaggingClassifier(n_estimators=2),
    "adaboost": AdaBoostClassifier(n_estimators=2),
    "isolation": IsolationForest(n_estimators=3),
    "neighbours": KNeighborsClassifier(3),
    "ball": KNeighborsRegressor(3, algorithm="ball_tree"),
    "network": MLPClassifier((4,), max_iter=2000, tol=1.0),
    "calibrated": CalibratedClassifierCV(LogisticRegression(max_iter=50), cv=2),
    "processes": GaussianProcessClassifier(),
    "voting": VotingClassifier([("tree", DecisionTreeClassifier(max_depth=2))]),
    "stacking": StackingClassifier([("tree", DecisionTreeClassifier(max_depth=2))], cv=2),
    "searched": GridSearchCV(RandomForestClassifier(2), {"max_depth": [2, 3]}, cv=2),
    "selected": make_pipeline(SelectKBest(k=9), DecisionTreeClassifier(max_depth=2)),
}


@pytest.fixture(scope="module")
def half(digits: tuple[Any, Any]) -> tuple[Any, Any]:
    images, labels = digits[0][DIGITS], digits[1][DIGITS]
    return images, labels % 2


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_it_loads_without_pickle_and_answers_as_at_home(
    name: str, half: tuple[Any, Any], artifact_file: Path
) -> None:
    images, labels = half
    model = MODELS[name].fit(images, labels)
    answers = load_sklearn(model, at=artifact_file).answer_batch(
        [json.dumps(row.tolist()).encode() for row in images[:20]]
    )
    outputs = [json.loads(answer.payload) for answer in answers]
    assert outputs == pytest.approx(model.predict(images[:20]).tolist())


def a_file(model: Any, *, at: Path) -> LoadSpec:
    saved = save(skops.io.dumps(model), at=at)
    return LoadSpec(runtime="sklearn", input_type="doubles", **saved)


def test_what_c_believes_is_asked_in_a_box(half: tuple[Any, Any], artifact_file: Path) -> None:
    forest = RandomForestClassifier(2, max_depth=2).fit(*half)
    spec = a_file(forest, at=artifact_file)
    assert belongs_in_a_box(spec)
    predictor = BoxedPredictor(spec)
    try:
        (answer,) = predictor.answer_batch([json.dumps(half[0][0].tolist()).encode()])
        assert json.loads(answer.payload) == forest.predict(half[0][:1])[0]
        assert predictor.signature.length == 64
    finally:
        predictor.close()
    assert not belongs_in_a_box(
        a_file(LogisticRegression(max_iter=900).fit(*half), at=artifact_file)
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("model", "texts"),
    [
        (make_pipeline(OneHotEncoder(drop="first"), LogisticRegression(max_iter=50)), False),
        (make_pipeline(OneHotEncoder(max_categories=3), LogisticRegression(max_iter=50)), False),
        (make_pipeline(HashingVectorizer(n_features=8), LogisticRegression(max_iter=50)), True),
        (NuSVC(), False),
        (KMeans(2, n_init=1), False),
        (make_pipeline(FunctionTransformer(np.log1p), LogisticRegression(max_iter=50)), False),
    ],
)
def test_whatever_is_not_known_to_be_harmless_is_asked_in_a_box(
    model: Any, texts: bool, half: tuple[Any, Any], artifact_file: Path
) -> None:
    images, labels = half
    fitted = model.fit([f"word{label}" for label in labels] if texts else images, labels)
    assert belongs_in_a_box(a_file(fitted, at=artifact_file))


def test_arithmetic_is_asked_where_it_is(artifact_file: Path) -> None:
    frame = pd.DataFrame({"age": [1.0, 2.0, np.nan, 4.0], "city": ["bern", "rome"] * 2})
    columns = ColumnTransformer(
        [
            ("age", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
            ("city", OrdinalEncoder(), ["city"]),
            ("rest", "passthrough", ["age"]),
        ]
    )
    model = make_pipeline(columns, SimpleImputer(), LogisticRegression()).fit(frame, [0, 1, 1, 0])
    assert not belongs_in_a_box(a_file(model, at=artifact_file))


@pytest.mark.parametrize("name", [("numpy", "dtype"), ("builtins", "dict")])
def test_a_tree_by_another_name_is_asked_in_a_box(
    name: tuple[str, str], half: tuple[Any, Any], artifact_file: Path
) -> None:
    """skops makes a tree of what has a tree's loader, whichever type is named beside it."""
    tree = skops.io.dumps(DecisionTreeClassifier(max_depth=2).fit(*half))
    with zipfile.ZipFile(io.BytesIO(tree)) as archive:
        files: dict[str, str | bytes] = {each: archive.read(each) for each in archive.namelist()}
    schema = json.loads(files["schema.json"])
    content = schema["content"]["content"]
    content["tree_"] |= {"__module__": name[0], "__class__": name[1]}
    artifact_file.write_bytes(zipped(files | {"schema.json": json.dumps(schema)}))
    assert not is_arithmetic(artifact_file)


@pytest.mark.parametrize("content", [b"", b"PK", zipped({"schema.json": "{"}), zipped({"a": "b"})])
def test_what_cannot_be_looked_through_belongs_in_a_box(
    content: bytes, artifact_file: Path
) -> None:
    artifact_file.write_bytes(content)
    assert not is_arithmetic(artifact_file)


def test_no_type_is_trusted_that_calls_what_it_is_given() -> None:
    """By the names: everything else is numbers, trees or arithmetic."""
    calls = {"eval", "exec", "getattr", "system", "Popen", "open", "methodcaller", "attrgetter"}
    assert {name.rpartition(".")[2] for name in TRUSTED}.isdisjoint(calls)
    assert not any(
        name.startswith(("os.", "posix.", "subprocess.", "builtins.")) for name in TRUSTED
    )


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (os.system, "posix.system"),
        (eval, "builtins.eval"),
        (functools.partial(os.system, "true"), "posix.system"),
        (functools.partial(subprocess.call, ["true"]), "subprocess.call"),
    ],
)
def test_functions_that_do_anything_are_refused_by_name(
    function: Any, named: str, artifact_file: Path
) -> None:
    model = make_pipeline(FunctionTransformer(function), FunctionTransformer())
    with pytest.raises(UntrustedTypes, match=named.replace(".", r"\.")):
        load_sklearn(skops.io.dumps(model), at=artifact_file)


def rewritten(tree: Any, **changes: Any) -> None:
    """Write into the nodes of a tree what no training would."""
    state = tree.__getstate__()
    for name, (node, value) in changes.items():
        state["nodes"][name][node] = value
    tree.__setstate__(state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"left_child": (0, 10**6)}, "nodes lead on to others"),
        ({"right_child": (0, -7)}, "nodes lead on to others"),
        ({"left_child": (1, 0)}, "nodes lead on to others"),
        ({"feature": (0, 64)}, "splits on 64 features"),
        ({"feature": (0, -3)}, "splits on 64 features"),
    ],
)
def test_a_tree_that_leads_out_of_its_memory_is_refused(
    changes: dict[str, Any], message: str, half: tuple[Any, Any], artifact_file: Path
) -> None:
    forest = RandomForestClassifier(2, max_depth=4, random_state=0).fit(*half)
    rewritten(forest.estimators_[1].tree_, **changes)
    with pytest.raises(ArtifactInvalid, match=message):
        load_sklearn(forest, at=artifact_file)


def test_a_tree_of_more_features_than_are_checked_is_refused(
    half: tuple[Any, Any], artifact_file: Path
) -> None:
    tree = DecisionTreeClassifier(max_depth=3).fit(*half)
    tree.n_features_in_ = 3
    with pytest.raises(ArtifactInvalid, match="expected a tree of 3 features, got 64"):
        load_sklearn(tree, at=artifact_file)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("left", 10**6, "nodes lead on to others"),
        ("right", 0, "nodes lead on to others"),
        ("feature_idx", 64, "splits on 64 features"),
    ],
)
def test_boosted_nodes_that_lead_out_of_their_memory_are_refused(
    name: str, value: int, message: str, half: tuple[Any, Any], artifact_file: Path
) -> None:
    model = HistGradientBoostingClassifier(max_iter=2).fit(*half)
    vars(model)["_predictors"][1][0].nodes[name][0] = value
    with pytest.raises(ArtifactInvalid, match=message):
        load_sklearn(model, at=artifact_file)


def test_what_scikit_learn_can_do_without_is_imported_only_by_whom_needs_it(
    half: tuple[Any, Any], artifact_file: Path
) -> None:
    """pandas would take 32 MB and a quarter of a second of every replica."""
    spec = a_file(LogisticRegression(max_iter=900).fit(*half), at=artifact_file)
    program = (
        "import sys; from serving.container.__main__ import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 3 * len({'pandas', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, "check", *spec.options()], check=False)
    assert done.returncode == 0


def test_rows_are_answered_alone_where_one_is_bad(
    half: tuple[Any, Any], artifact_file: Path
) -> None:
    model = KNeighborsClassifier(3).fit(*half)
    good = json.dumps(np.zeros(64).tolist()).encode()
    answers = load_sklearn(model, at=artifact_file).answer_batch([good, b"[1]", good])
    assert [answer.status for answer in answers] == [
        AnswerStatus.OK,
        AnswerStatus.INVALID_INPUT,
        AnswerStatus.OK,
    ]
