"""Each framework's model is recognised and saved as the server's runtime of it loads it."""

import hashlib
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from clipper_client import ClipperError
from clipper_client.frameworks import FRAMEWORKS, framework_of, save
from clipper_client.frameworks.framework import Saved, Saving
from clipper_client.packaging.required_packages import captured
from serving.container.loading import load_predictor
from serving.container.spec import LoadSpec

X = np.random.default_rng(1).normal(size=(60, 3))
NUMBERED = (X[:, 0] > 0).astype(int)
NAMED = np.where(X[:, 0] > 0, "leaves", "stays")
FRAME = pd.DataFrame({"age": [20.0, 40.0, 60.0, 80.0] * 5, "city": ["Rome", "Bern"] * 10})


MakeModule = Callable[[str, str], Any]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeModule:
    """Write and import a module that no index has."""

    def make(name: str, source: str) -> Any:
        here = tmp_path / "here"
        here.mkdir()
        (here / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(here)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return make


def saved(model: Any, folder: Path, example: Any = None) -> Saved:
    return save(model, folder=folder, saving=Saving(example=example))


def answers(found: Saved, rows: Any, *, input_type: str = "doubles") -> list[Any]:
    """Return the answers of the server's runtime with the artifact."""
    spec = LoadSpec(
        runtime=found.runtime,
        artifact=found.path,
        sha256=hashlib.sha256(found.path.read_bytes()).hexdigest(),
        input_type=input_type,
    )
    predictor = load_predictor(spec)
    inputs = [json.dumps(row).encode() for row in rows]
    return [json.loads(payload) for _, payload in predictor.answer_batch(inputs)]


@pytest.mark.parametrize(
    ("model", "runtime"),
    [
        (LogisticRegression(), "sklearn"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "sklearn"),
        (xgboost.XGBClassifier(n_estimators=3), "xgboost"),
        (lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=2, verbose=-1), "lightgbm"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_a_classifier_answers_there_as_here(model: Any, runtime: str, tmp_path: Path) -> None:
    model.fit(X, NUMBERED)
    found = saved(model, tmp_path)
    assert found.runtime == runtime
    assert answers(found, X[:20].tolist()) == model.predict(X[:20]).tolist()


def test_the_names_of_classes_go_with_a_lightgbm_model(tmp_path: Path) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=2, verbose=-1).fit(X, NAMED)
    found = saved(model, tmp_path)
    assert set(answers(found, X[:20].tolist())) == {"leaves", "stays"}


def test_a_booster_answers_without_its_estimator(tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=3).fit(X, NUMBERED)
    found = saved(model.get_booster(), tmp_path)
    assert answers(found, X[:5].tolist()) == model.predict(X[:5]).tolist()
    assert model.get_booster().attr("classes") is None


def test_a_pipeline_over_a_frame_is_saved_with_what_its_parts_need(tmp_path: Path) -> None:
    parts = ColumnTransformer(
        [("age", StandardScaler(), ["age"]), ("c", OneHotEncoder(), ["city"])]
    )
    model = make_pipeline(parts, LogisticRegression()).fit(FRAME, FRAME["city"] == "Rome")
    found = saved(model, tmp_path)
    rows = FRAME.head(4).to_dict("records")
    assert answers(found, rows, input_type="columns") == [True, False, True, False]
    assert "scikit-learn==" in captured(found.requirements)


def test_an_onnx_model_is_written_as_it_is(tmp_path: Path) -> None:
    model = LogisticRegression().fit(X.astype(np.float32), NUMBERED)
    found = saved(to_onnx(model, X[:1].astype(np.float32)), tmp_path)
    assert answers(found, X[:5].tolist(), input_type="floats") == model.predict(X[:5]).tolist()


FOREIGN = """
from sklearn.linear_model import LogisticRegression

class Foreign:
    def predict(self, rows): return rows.sum(axis=1)
    def score(self, rows): return -rows.sum(axis=1)

class ForeignEstimator(LogisticRegression): ...
"""


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [("Foreign", None, [4.0]), ("Foreign", "score", [-4.0]), ("ForeignEstimator", None, [1])],
)
def test_a_model_of_an_unknown_package_is_sent_as_it_is(
    name: str, method: str | None, expected: list[Any], tmp_path: Path, module: MakeModule
) -> None:
    model = getattr(module("foreign_models", FOREIGN), name)()
    if name == "ForeignEstimator":
        model.fit([[0.0, 0.0], [3.0, 3.0]], [0, 1])
    found = save(model, folder=tmp_path, saving=Saving(method=method))
    assert (found.runtime, found.has_method) == ("python", True)
    assert answers(found, [[2.0, 2.0]]) == expected


def test_each_framework_is_recognised_by_its_own_row() -> None:
    assert len(FRAMEWORKS) == len({framework.name for framework in FRAMEWORKS}) > 8
    assert framework_of(xgboost.XGBClassifier()).name == "xgboost"  # an estimator of sklearn, too


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from clipper_client.frameworks import save
from clipper_client.frameworks.framework import Saving

BY = np.float64(2.0)

def halved(frame):
    return frame / BY

class Ratio(BaseEstimator, TransformerMixin):
    def fit(self, X, y=None):
        return self
    def transform(self, X):
        return X.assign(ratio=X["age"] / X["income"])

frame = pd.DataFrame({"income": [9.0, 1.0] * 5, "age": [1.0, 9.0] * 5})
model = make_pipeline(Ratio(), FunctionTransformer(halved), LogisticRegression())
model.fit(frame, [0, 1] * 5)

def asked(inputs):
    return model.predict(inputs)

class Asking:
    def __init__(self):
        self.model = model
    def pred_batch(self, inputs):
        return self.model.predict(inputs)

folder = Path(sys.argv[1])
for name, what, method in [
    ("own", model, None), ("proba", model, "predict_proba"), ("function", asked, None),
    ("instance", Asking(), None),
]:
    (folder / name).mkdir()
    saved = save(what, folder=folder / name, saving=Saving(method=method))
    print(name, saved.runtime, saved.has_method, saved.path, *saved.requirements)
"""


def test_classes_and_functions_of_a_script_go_along_with_what_holds_them(tmp_path: Path) -> None:
    """In an estimator, and in what a function or an object refers to."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    given = subprocess.run(
        [sys.executable, script, tmp_path], check=True, capture_output=True, text=True
    ).stdout
    rows = [{"income": 9.0, "age": 1.0}, {"income": 1.0, "age": 9.0}]
    for line in given.splitlines():
        name, runtime, has_method, path, *requirements = line.split()
        assert (runtime, has_method) == ("python", str(name in ("own", "proba")))
        assert "scikit-learn" in requirements
        made = answers(Saved(path=Path(path), runtime=runtime), rows, input_type="columns")
        if name == "proba":
            made = [int(np.argmax(row)) for row in made]
        assert made == [0, 1], name


def test_modules_that_no_index_has_go_with_what_refers_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's own module, one of an object that it holds, and one that this imports."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "adding_numbers.py").write_text("import numpy\ndef add(row): return numpy.sum(row)\n")
    (here / "holding_steps.py").write_text(
        "from adding_numbers import add\n"
        "class Step:\n"
        "    def ask(self, row): return float(add(row))\n"
    )
    (here / "asking_steps.py").write_text(
        "class Model:\n"
        "    def __init__(self, step): self.step = step\n"
        "    def pred_batch(self, inputs): return [self.step.ask(row) for row in inputs]\n"
    )
    names = ("asking_steps", "holding_steps", "adding_numbers")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(here)
        asking, holding, _ = map(importlib.import_module, names)
        found = saved(asking.Model(holding.Step()), tmp_path)
    for name in names:
        monkeypatch.delitem(sys.modules, name)

    assert found.requirements == ("numpy",)
    assert answers(found, [[1.0, 2.0], [3.0, 4.0]]) == [3.0, 7.0]


def test_a_lambda_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ClipperError, match="got a lambda: define it with def"):
        saved(lambda inputs: inputs, tmp_path)


CLASSES = """
class Both:
    def __init__(self, path, device): self.given = [path.is_dir(), device]
    def pred_batch(self, inputs): return [self.given for _ in inputs]
class DeviceAlone(Both):
    def __init__(self, device): self.given = device
class Neither(Both):
    def __init__(self): self.given = "neither"
class Cut(Both):
    def __init__(self, cutoff): ...
"""


@pytest.mark.parametrize(
    ("name", "given"), [("Both", [True, "cpu"]), ("DeviceAlone", "cpu"), ("Neither", "neither")]
)
def test_a_class_is_given_what_its_constructor_takes(
    name: str, given: Any, tmp_path: Path, module: MakeModule
) -> None:
    model = getattr(module("taking_devices", CLASSES), name)
    assert answers(saved(model, tmp_path), [[1.0]]) == [given]
