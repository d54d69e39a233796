"""MLflow models of any flavour answer by their signatures."""

import itertools
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema, TensorSpec
from sklearn.linear_model import LogisticRegression

from serving.container.failures.container_errors import ArtifactInvalid, LoadFailed
from serving.rpc.frames.codec import AnswerStatus
from tests.serving.container.artifacts import answered, load_as, zipped, zipped_folder

FRAME = pd.DataFrame(np.random.default_rng(0).random((30, 3)), columns=["age", "income", "visits"])
LABELS = (FRAME.age > 0.5).astype(int)
_serial = itertools.count()  # a module is imported once by its name
LINES = FRAME.to_dict("records")

# A flavour is a module with `_load_pyfunc`, and the model is what that returns.
MODULE = """
import pandas as pd
class Model:
    def predict(self, model_input, params=None):
        return {returned}
def _load_pyfunc(path):
    return Model()
"""


@pytest.fixture(scope="module")
def model() -> LogisticRegression:
    return LogisticRegression().fit(FRAME, LABELS)


@pytest.fixture(scope="module")
def artifact(model: LogisticRegression, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("mlflow") / "model"
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=infer_signature(FRAME, LABELS),
        pip_requirements=["scikit-learn", "skops"],
    )
    return zipped_folder(folder)


def of_code(
    returned: str, *, inputs: list[Any] | None = None, module: str = MODULE, within: str = ""
) -> bytes:
    """The model that a module of its own makes of the inputs."""
    described, name = mlflow.models.Model(), f"flavour_{next(_serial)}"
    if inputs is not None:
        described.signature = ModelSignature(inputs=Schema(inputs))
    mlflow.pyfunc.add_to_model(described, loader_module=name, code="code")
    return zipped(
        {
            f"{within}MLmodel": described.to_yaml(),
            f"{within}code/{name}.py": module.replace("{returned}", returned),
            f"{within}requirements.txt": "mlflow\nnowhere==1.0\n",
        }
    )


def test_numbers_become_the_columns_of_the_signature(
    artifact: bytes, model: LogisticRegression, artifact_file: Path
) -> None:
    predictor = load_as("mlflow", artifact, at=artifact_file)
    predictor.warm_up()
    assert predictor.n_features == 3
    assert answered(predictor, FRAME.to_numpy()) == model.predict(FRAME).tolist()
    predictor.close()


@pytest.mark.parametrize("input_type", ["columns", "json"])
def test_named_columns_may_come_in_any_order(
    input_type: str, artifact: bytes, model: LogisticRegression, artifact_file: Path
) -> None:
    predictor = load_as("mlflow", artifact, at=artifact_file, input_type=input_type)
    rows = [dict(reversed(line.items())) for line in LINES]
    assert answered(predictor, rows) == model.predict(FRAME).tolist()


def test_probabilities_are_those_of_the_model_within(
    artifact: bytes, model: LogisticRegression, artifact_file: Path
) -> None:
    predictor = load_as("mlflow", artifact, at=artifact_file, method="predict_proba")
    assert answered(predictor, FRAME.to_numpy()) == model.predict_proba(FRAME).tolist()
    with pytest.raises(ArtifactInvalid, match=r"whose own model has predict_proba\(\), got Non"):
        load_as("mlflow", of_code("model_input"), at=artifact_file, method="predict_proba")


def test_a_column_may_be_missing_where_the_model_takes_nan(
    artifact: bytes, artifact_file: Path
) -> None:
    row = b'{"age": 0.5, "income": 0.1}'
    predictor = load_as("mlflow", artifact, at=artifact_file, input_type="columns")
    assert predictor.answer_batch([row]) == [
        (AnswerStatus.INVALID_INPUT, b'expected the column "visits", got a row without it')
    ]
    names = [ColSpec("double", name) for name in ("age", "income", "visits")]
    counting = of_code("model_input.isna().sum(axis=1).tolist()", inputs=names)
    predictor = load_as("mlflow", counting, at=artifact_file, input_type="columns")
    assert predictor.answer_batch([row]) == [(AnswerStatus.OK, b"1")]


@pytest.mark.parametrize(
    ("returned", "inputs", "input_type", "rows", "outputs"),
    [
        ("model_input.sum(axis=1)", None, "doubles", [[1, 2], [3, 4]], [3.0, 7.0]),
        ("[len(text) for text in model_input]", None, "strings", ["a", "bcd"], [1, 3]),
        ("model_input.a + 1", [ColSpec("long", "a")], "doubles", [[1], [2]], [2, 3]),
        ("model_input", [ColSpec("string", "a")], "strings", ["x", "y"], ["x", "y"]),
        (
            "model_input.assign(b=1)",
            [ColSpec("double", "a")],
            "json",
            [{"a": 1}, {"a": 2}],
            [{"a": 1.0, "b": 1}, {"a": 2.0, "b": 1}],
        ),
        (
            "model_input.sum(axis=2)",
            [TensorSpec(np.dtype("float32"), (-1, 2, 2))],
            "doubles",
            [[1, 2, 3, 4]],
            [[3.0, 7.0]],
        ),
        (
            "model_input.sum(axis=2)",
            [TensorSpec(np.dtype("float32"), (-1, 2, 2))],
            "tensor",
            [[[1, 2], [3, 4]]],
            [[3.0, 7.0]],
        ),
        (
            "model_input.a.astype(str) + model_input.b",
            [ColSpec("long", "a"), ColSpec("string", "b")],
            "columns",
            [{"b": "x", "a": 1}, {"b": "y", "a": 2}],
            ["1x", "2y"],
        ),
        (
            "model_input['x'] * model_input['y']",
            [TensorSpec(np.dtype("int64"), (-1,), name) for name in "xy"],
            "json",
            [{"x": 2, "y": 3}],
            [6],
        ),
    ],
)
def test_inputs_are_what_the_signature_wants(
    returned: str,
    inputs: list[Any] | None,
    input_type: str,
    rows: Any,
    outputs: Any,
    artifact_file: Path,
) -> None:
    content = of_code(returned, inputs=inputs, within="model/")
    predictor = load_as("mlflow", content, at=artifact_file, input_type=input_type)
    assert answered(predictor, rows) == outputs
    predictor.close()


def test_what_a_model_raises_fails_its_row_alone(artifact_file: Path) -> None:
    content = of_code("[1 / int(row[0]) for row in model_input]")
    bad, good = load_as("mlflow", content, at=artifact_file).answer_batch([b"[0]", b"[2]"])
    assert bad.payload == b"ZeroDivisionError: division by zero"
    assert good == (AnswerStatus.OK, b"0.5")


def test_a_package_that_is_not_here_is_named_with_what_the_model_needs(artifact_file: Path) -> None:
    content = of_code("model_input", module="import nowhere\n" + MODULE)
    needs = (
        "No module named 'nowhere'; it says that it needs mlflow, nowhere==1.0: give the version"
    )
    with pytest.raises(LoadFailed, match=needs):
        load_as("mlflow", content, at=artifact_file)


NO_MODELS = [
    *(b"", b"PK\x03\x04 truncated", b'{"learner": {}}', zipped({"model.pkl": b""})),
    *(zipped({"a/MLmodel": "", "b/MLmodel": ""}), zipped({"MLmodel": "flavors: {}"})),
]


@pytest.mark.parametrize("content", NO_MODELS)
def test_what_is_no_model_is_refused_and_leaves_nothing(
    content: bytes, artifact_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ArtifactInvalid):
        load_as("mlflow", content, at=artifact_file)
    assert list(tmp_path.glob("clipper-model-*")) == []
