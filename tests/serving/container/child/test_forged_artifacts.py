"""A forged artifact breaks the process of its own model alone, and its check says so."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pytest
import skops.io
import xgboost
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from serving.cluster.control.checks.version_trial import Trial, try_out
from serving.container.child.child_process import ChildPredictor
from serving.container.child.model_process import ForkServer
from serving.container.failures.container_errors import ContainerError
from serving.container.spec import LoadSpec
from serving.testing import version_spec
from tests.serving.container.artifacts import save

ROWS = np.random.default_rng(0).random((60, 4))
LABELS = (ROWS[:, 0] > 0.5).astype(int)
FAR = 2_000_000_000


def forged_tree() -> bytes:
    forest = RandomForestClassifier(2, max_depth=3).fit(ROWS, LABELS)
    tree = forest.estimators_[1].tree_
    state = tree.__getstate__()
    state["nodes"]["left_child"][0] = state["nodes"]["right_child"][0] = FAR
    tree.__setstate__(state)
    return skops.io.dumps(forest)


def forged_histograms() -> bytes:
    model = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5).fit(ROWS, LABELS)
    nodes = vars(model)["_predictors"][0][0].nodes
    nodes["left"][0] = nodes["right"][0] = FAR
    return skops.io.dumps(model)


def forged_xgboost() -> bytes:
    booster = xgboost.XGBClassifier(n_estimators=2, max_depth=2).fit(ROWS, LABELS).get_booster()
    model = json.loads(booster.save_raw("json"))
    tree = model["learner"]["gradient_booster"]["model"]["trees"][0]
    tree["left_children"][0] = tree["right_children"][0] = FAR
    return json.dumps(model).encode()


def forged_lightgbm() -> bytes:
    options = {"objective": "binary", "num_leaves": 4, "min_data_in_leaf": 2, "verbosity": -1}
    booster = lightgbm.train(options, lightgbm.Dataset(ROWS, LABELS), num_boost_round=2)
    text = re.sub(r"(?m)^split_feature=\S+", f"split_feature={FAR}", booster.model_to_string())
    return text.encode()


def forged_onnx() -> bytes:
    """A model that takes its weights from another file."""
    weights = onnx.TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", "../../../etc/passwd"), ("offset", "0"), ("length", "16")):
        weights.external_data.add(key=key, value=value)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in "xy")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "graph", [x], [y], [weights]
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


FORGED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "tree": ("sklearn", forged_tree, r"signal 11 \(SIGSEGV\)"),
    "histograms": ("sklearn", forged_histograms, r"signal 11 \(SIGSEGV\)"),
    "xgboost": ("xgboost", forged_xgboost, r"signal \d+|expected an XGBoost model"),
    "lightgbm": ("lightgbm", forged_lightgbm, r"signal \d+|expected a LightGBM model"),
    "onnx": ("onnx", forged_onnx, "expected a model that ONNX Runtime takes"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.end()


def checked(runtime: str, content: bytes, *, at: Path, server: ForkServer) -> Trial:
    at.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    version = version_spec(model="forged", runtime=runtime, digest=digest)
    return try_out(version, artifact=at, server=server)


@pytest.mark.parametrize("name", FORGED)
def test_it_ends_as_a_failed_check_and_a_failed_load(
    name: str, artifact_file: Path, server: ForkServer
) -> None:
    runtime, forge, reason = FORGED[name]
    content = forge()
    trial = checked(runtime, content, at=artifact_file, server=server)
    assert trial.fault is not None
    assert re.search(reason, trial.fault), trial.fault

    saved: dict[str, Any] = save(content, at=artifact_file)
    spec = LoadSpec(runtime=runtime, input_type="doubles", **saved)
    with pytest.raises(ContainerError, match=reason):
        ChildPredictor(spec, server=server)


def test_the_server_goes_on_forking(artifact_file: Path, server: ForkServer) -> None:
    assert checked("sklearn", forged_tree(), at=artifact_file, server=server).fault
    forest = RandomForestClassifier(2, max_depth=3).fit(ROWS, LABELS)
    good = checked("sklearn", skops.io.dumps(forest), at=artifact_file, server=server)
    assert good.fault is None
