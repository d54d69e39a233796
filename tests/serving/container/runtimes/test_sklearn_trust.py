"""Trees and neighbours load without pickle; what could run or reach anything else doesn't."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
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
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
)
from sklearn.tree import DecisionTreeClassifier

from serving.container.adapters.skops_permission import TRUSTED
from serving.container.failures.container_errors import UntrustedTypes
from serving.container.spec import LoadSpec
from tests.serving.container.artifacts import load_sklearn, save

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


def test_no_type_is_trusted_that_calls_what_it_is_given() -> None:
    """The names show it: everything else is numbers, trees or arithmetic."""
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
