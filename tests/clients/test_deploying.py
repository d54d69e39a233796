"""From an estimator in memory to its first answer, and what is said where that fails."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression

from clipper_client import Client, ClipperError, ClipperWarning
from tests.clients.busy_server import Planned, serving
from tests.clients.sources import Rows, predictor


def test_a_version_that_does_not_load_raises_with_its_reason(
    client: Client, tmp_path: Path
) -> None:
    source = tmp_path / "model.py"
    source.write_text(predictor(load="raise RuntimeError('the weights are gone')"))
    with pytest.raises(ClipperError, match="the weights are gone") as caught:
        client.deploy("broken", source, input_type="json", app="broken")
    assert caught.value.code == "release_failed"
    assert caught.value.details["state"] == "failed"
    assert "broken" not in [app["name"] for app in client.status().applications]


def test_an_application_of_other_models_is_left_alone(
    client: Client, churn: str, linear: LogisticRegression
) -> None:
    with pytest.raises(ClipperError, match="asks churn"):
        client.deploy("intruder", linear, app=churn)
    assert "intruder" not in [model["name"] for model in client.status().models]


def test_an_application_that_is_there_gets_what_is_asked_for(
    client: Client, churn: str, linear: LogisticRegression
) -> None:
    client.deploy(churn, linear, app=churn, slo_ms=900, default_output=-1)
    found = client.request("GET", f"applications/{churn}")
    assert (found["slo"]["latency_ms"], found["default_output"]) == (900.0, -1)


def test_a_class_of_a_module_is_sent_with_its_module(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shifting.py").write_text(
        "import numpy as np\n"
        "class Shift:\n"
        "    def __init__(self, by):\n"
        "        self.by = by\n"
        "    def pred_batch(self, inputs):\n"
        "        return [float(np.sum(row)) + self.by for row in inputs]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    shifting: Any = importlib.import_module("shifting")
    client.deploy(
        "shift", shifting.Shift(by=10), example=np.ones((1, 2)), app="shift", slo_ms=1_000
    )
    assert client.predict("shift", [1.0, 2.0]).output == 13.0


@pytest.mark.parametrize("name", ["net.onnx", ""])
def test_a_file_or_folder_comes_with_what_loads_it(
    name: str, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "net.onnx").write_bytes(b"a net")
    (tmp_path / "net.data").write_bytes(b"its numbers")
    model = f"of-a-{'file' if name else 'folder'}"
    client.deploy(model, tmp_path / name, input_type="floats", wait=False)
    version = client.request("GET", f"models/{model}/versions/1")
    assert version["runtime"] == "onnx"
    assert version["requirements"].startswith("onnxruntime==")


def test_a_folder_of_python_comes_with_its_requirements(client: Client, tmp_path: Path) -> None:
    (tmp_path / "predictor.py").write_text(predictor())
    (tmp_path / "requirements.txt").write_text("numpy>=1\n")
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    (tmp_path / "pyproject.toml").write_text(f'[project]\nrequires-python = "=={own}.*"\n')
    client.deploy("of-python", tmp_path, input_type="doubles", wait=False)
    version = client.request("GET", "models/of-python/versions/1")
    assert version["requirements"] == "numpy>=1\n"
    assert version["python"] == own
    other = next(each for each in ("3.12", "3.13") if each != own)
    with pytest.raises(ClipperError, match=f"which requires =={own}.*, got {other}"):
        client.deploy("of-python", tmp_path, fields={"python": other}, wait=False)


def test_rows_with_names_come_with_pandas_whether_there_is_an_example_or_not(
    client: Client,
) -> None:
    frame = pd.DataFrame({"age": [20.0, 40.0], "city": pd.Categorical(["Rome", "Bonn"])})
    model = xgboost.XGBClassifier(n_estimators=1, enable_categorical=True).fit(frame, [0, 1])
    client.deploy("of-frames", model, wait=False)
    version = client.request("GET", "models/of-frames/versions/1")
    assert [line.split("==")[0] for line in version["requirements"].split()] == [
        "pandas",
        "xgboost-cpu",
    ]


def test_a_model_behind_a_url_is_asked_where_it_is(client: Client) -> None:
    with serving(Planned(200, b'{"predictions": [41, 42]}')) as elsewhere:
        client.deploy(
            "far",
            f"{elsewhere.url}/invocations",
            runtime="remote",
            fields={"protocol": "mlflow", "max_batch_size": 2},
            example=[[1.0, 2.0]],
            wait=False,
        )
    version = client.request("GET", "models/far/versions/1")
    assert (version["runtime"], version["example"]) == ("remote", [1.0, 2.0])
    assert version["remote"]["url"] == f"{elsewhere.url}/invocations"


def test_what_nobody_can_save_is_refused_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(ClipperError, match="pred_batch") as caught:
        client.deploy("nothing", object())
    assert caught.value.code == "unsupported_model"
    assert "nothing" not in [model["name"] for model in client.status().models]


def test_a_second_label_is_warned_of(client: Client, churn: str, rows: Rows) -> None:
    answer = client.predict(churn, rows[0])
    assert client.feedback(answer, label=1).accepted == 1
    with pytest.warns(ClipperWarning, match="feedback already"):
        assert client.feedback(answer, label=0).duplicates == 1


def test_a_frame_of_polars_serves_from_end_to_end(client: Client) -> None:
    frame = pl.DataFrame({"age": [20.0, 40.0, 60.0] * 5, "income": [1.0, 2.0, 3.0] * 5})
    model = LogisticRegression().fit(frame, [0, 1, 1] * 5)
    client.deploy("polar", model, example=frame, app="polar", slo_ms=1_000)
    assert client.predict("polar", frame[0]).output == 0
    assert [answer.output for answer in client.predict_batch("polar", frame[:3])] == [0, 1, 1]
    assert client.score("polar", frame) == [0, 1, 1] * 5
    with pytest.raises(ClipperError, match='the columns age, income, got "agee"'):
        client.predict("polar", {"agee": 1, "income": 2})
