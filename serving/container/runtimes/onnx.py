"""ONNX models, on ONNX Runtime, alone or in a zip with the files that hold their tensors.

A model is a graph of operators that ONNX Runtime has; it can name no library, and one that names
files other than those beside it in its zip is refused. Runtimes of other formats (ORT's own, which
says where in memory things are) aren't read.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import DTypeLike

from serving.container.archive import unpack
from serving.container.arrays import in_batches
from serving.container.errors import ArtifactInvalid, LoadFailed, explain
from serving.container.feeding import TensorInput, by_row, feed
from serving.container.inputs import of_tensors
from serving.container.onnx_files import external_files
from serving.container.rows import Rows
from serving.container.runtimes import method_of
from serving.container.scratch import new_folder
from serving.container.spec import LoadSpec

DTYPES: Mapping[str, DTypeLike] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
CPU: tuple[str, dict[str, int]] = ("CPUExecutionProvider", {})
ORT_MAGIC = b"ORTM"  # after four bytes
ONLY_FATAL = 4  # what a run fails of is raised, and needs no log


class OnnxModel:
    """A session, asked for one of its outputs or for all of them."""

    def __init__(
        self, session: onnxruntime.InferenceSession, *, spec: LoadSpec, folder: Path | None
    ) -> None:
        method = method_of(spec)
        self._session = session
        self._folder = folder
        self._inputs = [_input_of(node) for node in session.get_inputs()]
        self._outputs = _asked(session.get_outputs(), method=method)
        self._batch = next((each.batch for each in self._inputs if each.batch), None)
        self._probabilities = method == "predict_proba"
        self.signature = of_tensors(spec.input_type, [each.part for each in self._inputs])
        self.n_features = self.signature.length

    def predict(self, inputs: Rows) -> Any:
        return in_batches(inputs, size=self._batch, ask=self._ask)

    def warm_up(self) -> None:
        """Nothing of its own: answering a first batch is what warms a session."""

    def close(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, rows: Rows) -> Any:
        answers = self._session.run(self._outputs, feed(rows, inputs=self._inputs))
        if len(answers) == 1:
            answer = answers[0]
            if self._probabilities and isinstance(answer, list):  # a map from class to probability
                return [list(row.values()) for row in answer]
            return answer
        return by_row(dict(zip(self._outputs, answers, strict=True)))


def load(spec: LoadSpec) -> OnnxModel:
    if spec.head(8)[4:] == ORT_MAGIC:
        raise ArtifactInvalid("expected an .onnx file, got one in ONNX Runtime's own format")
    if not spec.starts_with(b"PK"):
        _refuse_other_files(spec.artifact, within=None)
        return OnnxModel(_open(spec.artifact, spec=spec), spec=spec, folder=None)
    folder = new_folder()
    try:
        unpack(spec.artifact, into=folder)
        model = _find_model(folder)
        _refuse_other_files(model, within=model.parent)
        return OnnxModel(_open(model, spec=spec), spec=spec, folder=folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _find_model(folder: Path) -> Path:
    found = sorted(folder.rglob("*.onnx"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ArtifactInvalid(f"expected one .onnx file in the zip, got {names}")
    return found[0]


def _refuse_other_files(model: Path, *, within: Path | None) -> None:
    """Raise ArtifactInvalid where a model's tensors lie elsewhere than in files of its zip."""
    there = set() if within is None else {path.name for path in within.iterdir() if path.is_file()}
    elsewhere = sorted(external_files(model) - there)
    if elsewhere:
        raise ArtifactInvalid(
            f"expected a model with all of its tensors, got one that has them in {elsewhere[0]!r}: "
            "save it with save_as_external_data=False, or zip it with the files that it names"
        )


def _open(model: Path, *, spec: LoadSpec) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = spec.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ONLY_FATAL
    # Threads that wait in a loop take the core that the next model needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = _providers(spec.device)
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=providers)
    except Exception as error:
        raise ArtifactInvalid(
            f"expected a model that ONNX Runtime takes: {explain(error)}"
        ) from error
    if session.get_providers()[0] != providers[0][0]:
        raise LoadFailed(f"ONNX Runtime has no access to {spec.device}")
    return session


def _providers(device: str) -> list[tuple[str, dict[str, int]]]:
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return [CPU]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise LoadFailed(
            f"ONNX Runtime was built without CUDA, so that it can't use {device}: "
            "install onnxruntime-gpu in place of onnxruntime"
        )
    return [("CUDAExecutionProvider", {"device_id": int(index or 0)}), CPU]


def _asked(outputs: Sequence[Any], *, method: str) -> list[str]:
    """The names of the outputs that answer."""
    names = [output.name for output in outputs]
    if method == "outputs":
        return names
    of_classes = [o.name for o in outputs if "prob" in o.name.lower() or o.type.startswith("seq(")]
    if method == "predict_proba":
        if not of_classes:
            raise ArtifactInvalid(
                f"expected an output of probabilities for predict_proba, got {', '.join(names)}"
            )
        return of_classes[:1]
    labels = [name for name in names if "label" in name.lower()]
    return labels[:1] or names


def _input_of(node: Any) -> TensorInput:
    if node.type not in DTYPES:
        raise ArtifactInvalid(f"expected inputs of tensors, got {node.name!r}, a {node.type}")
    sizes = [size if isinstance(size, int) else None for size in node.shape or [None]]
    return TensorInput(
        name=node.name, dtype=DTYPES[node.type], shape=tuple(sizes[1:]), batch=sizes[0]
    )
