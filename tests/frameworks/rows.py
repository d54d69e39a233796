"""User code for a model of each framework, from the training to the first answer."""

from dataclasses import dataclass

from tests.frameworks.environments import ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A model of one framework, as Python's source.

    `training` makes `model`, and what the expressions below name. It is deployed to an application
    of the row's name. `expected` is what the model itself says about `asked`, `scores` what the
    second version should: `other`, or the same model asked by `method`. `more` are arguments of
    both. `bad` is an input that isn't one, `refused` what the caller is told about it.
    """

    name: str
    training: str
    model: str = "model"
    other: str = ""
    method: str = "predict_proba"
    more: str = ""
    example: str = "X[:5]"
    asked: str = "X[0]"
    expected: str = "model.predict(X[:1])[0]"
    scores: str = "model.predict_proba(X[:1])[0]"
    bad: str = "X[0][:3]"
    refused: str = "400 input: expected 4 numbers, got 3"

    @property
    def deploying(self) -> str:
        """The three lines that a user writes."""
        return (
            "from clipper_client import Client\n"
            f'Client().deploy("{self.name}", {self.model}{self.more}, example={self.example}, '
            f'app="{self.name}", slo_ms=1000)\n'
            f'answer = Client().predict("{self.name}", {self.asked})\n'
        )

    @property
    def again(self) -> str:
        """The deployment of the second version."""
        what = self.other or f'{self.model}, method="{self.method}", allow_signature_change=True'
        return f'client.deploy("{self.name}", {what}{self.more}, example={self.example})'


NUMBERS = """
import numpy as np
X = np.random.default_rng(7).normal(size=(200, 4))
y = np.where(X[:, 0] + X[:, 1] > 0, "leaves", "stays")
"""
PIPELINE = """
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
cities = ["Rome", "Oslo", "Rome", "Bonn"]
frame = pd.DataFrame({"age": [31, 58, None, 44] * 25, "city": cities * 25})
columns = make_column_transformer((SimpleImputer(), ["age"]), (OneHotEncoder(), ["city"]))
model = make_pipeline(columns, LogisticRegression()).fit(frame, ["leaves", "stays"] * 50)
"""
WHEEL = """
import zipfile
code = "class Predictor:\\n    def __init__(self, path):\\n        self.n_features = 4\\n" \\
    "    def pred_batch(self, inputs):\\n        return (inputs.sum(axis=1){}).tolist()\\n"
def wheel(version, more):
    path = f"summing-{version}-py3-none-any.whl"
    told = f"Metadata-Version: 2.1\\nName: summing\\nVersion: {version}\\n"
    made = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("summing/__init__.py", code.format(more))
        for name, text in {"METADATA": told, "WHEEL": made, "RECORD": ""}.items():
            packed.writestr(f"summing-{version}.dist-info/{name}", text)
    return path
model, other = wheel("1.0", ""), wheel("2.0", " * 2")
"""
COMMAND = f"""
import json
import shutil
from pathlib import Path
model = {str(ROOT / "examples/container")!r}
other = shutil.copytree(model, "other")
weights = {{"classes": ["small", "large, too"], "weights": [[-1, -1], [1, 1]]}}
Path(other, "model.json").write_text(json.dumps(weights))
rows = [[1.0, 2.0]]
"""
SERVER = """
import json
from tests.serving.container.remote.servers import Mlflow
from tests.serving.container.remote.stand_in import StandIn
def answering(factor):
    def answer(asked):
        rows = np.array(asked["inputs"])
        if rows.shape[1] != 4:
            raise ValueError(f"shapes {rows.shape} and (4,) not aligned")
        return (rows.sum(axis=1) * factor).tolist()
    return StandIn(Mlflow(answer)).url()
model, other = answering(1), answering(2)
"""
FUNCTION = """
WEIGHTS = np.arange(1.0, 5.0)
SCALE = 2
def weigh(row):
    return float(np.dot(row, WEIGHTS))
def model(inputs):
    return [weigh(row) for row in inputs]
def other(inputs):
    return [weigh(row) * SCALE for row in inputs]
"""
PREDICTOR = """
class InvalidInput(Exception):
    pass
class Weighted:
    def __init__(self, weights):
        self.weights = weights
    def pred_batch(self, inputs):
        if any(len(row) != len(self.weights) for row in inputs):
            raise InvalidInput(f"expected {len(self.weights)} weights' worth of numbers")
        return (inputs @ self.weights).tolist()
model, other = Weighted(np.arange(1.0, 5.0)), Weighted(np.arange(2.0, 10.0, 2.0))
"""

# With frameworks that are in `.venv`.
LIGHT = (
    Row(
        name="estimator",
        training=NUMBERS
        + "from sklearn.ensemble import RandomForestClassifier\n"
        + "model = RandomForestClassifier(n_estimators=10, random_state=0).fit(X, y)\n",
    ),
    Row(
        name="pipeline",
        training=PIPELINE,
        example="frame[:5]",
        asked="frame.iloc[0]",
        expected="model.predict(frame[:1])[0]",
        scores="model.predict_proba(frame[:1])[0]",
        bad="{'age': 31, 'town': 'Rome'}",
        refused='400 input: expected the columns age, city, got "town"',
    ),
    Row(
        name="xgboost",
        training=NUMBERS
        + "import xgboost\n"
        + "model = xgboost.XGBClassifier(n_estimators=5).fit(X, y == 'stays')\n",
    ),
    Row(
        name="lightgbm",
        training=NUMBERS
        + "import lightgbm\n"
        + "model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, y)\n",
    ),
    Row(
        name="onnx",
        training=NUMBERS
        + "from skl2onnx import to_onnx\n"
        + "from sklearn.linear_model import LogisticRegression\n"
        + "X = X.astype(np.float32)\n"
        + "trained = LogisticRegression().fit(X, y)\n"
        + "model = to_onnx(trained, X[:1])\n",
        expected="trained.predict(X[:1])[0]",
        scores="trained.predict_proba(X[:1])[0]",
    ),
    Row(
        name="function",
        training=NUMBERS + FUNCTION,
        other="other",
        expected="model(X[:1])[0]",
        scores="other(X[:1])[0]",
    ),
    Row(
        name="object",
        training=NUMBERS + PREDICTOR,
        other="other",
        expected="model.pred_batch(X[:1])[0]",
        scores="other.pred_batch(X[:1])[0]",
    ),
    Row(
        name="wheel",
        training=NUMBERS + WHEEL,
        other="other",
        expected="X[0].sum()",
        scores="2 * X[0].sum()",
    ),
    Row(
        name="command",
        training=COMMAND,
        other="other",
        more=", runtime='command'",
        example="rows",
        asked="rows[0]",
        expected="'large'",
        scores="'large, too'",
        bad="[1.0]",
        refused="400 input: expected 2 numbers, got 1",
    ),
    Row(
        name="remote",
        training=NUMBERS + SERVER,
        other="other",
        more=", fields={'protocol': 'mlflow'}",
        expected="X[0].sum()",
        scores="2 * X[0].sum()",
    ),
)
# One is in `make test`: each takes three to eight seconds of CPU.
LATER = tuple(row.name for row in LIGHT if row.name != "pipeline")
