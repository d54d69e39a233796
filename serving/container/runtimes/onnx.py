"""ONNX models, on ONNX Runtime, alone or in a zip with the files that hold their tensors."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import DTypeLike

from serving.container.adapters.archive import kept_folder, unpack
from serving.container.adapters.arrays import in_batches
from serving.container.adapters.model_inputs import of_tensors
from serving.container.adapters.tensors_io import TensorInput, by_row, feed
from serving.container.failures.container_errors import ArtifactInvalid, LoadFailed, words_of
from serving.container.inputs.nulls import with_nulls
from serving.container.inputs.rows import Rows
from serving.container.inputs.signature import COLUMNS, Signature
from serving.container.runtimes import method_of
from serving.container.runtimes.base import FrameworkModel, sole_file
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
# Outputs of floating-point numbers, or of a map from classes to such.
SCORES = (
    *("tensor(float)", "tensor(double)", "tensor(float16)"),
    *("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))"),
)
CPU: tuple[str, dict[str, int]] = ("CPUExecutionProvider", {})
ORT_MAGIC = b"ORTM"  # after four bytes
# What ONNX Runtime says of itself: kinds of errors, the file, lines and signatures of its C++.
WHERE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from \S+ failed:|"
    r"/\S+\.(?:h|cc):\d+ .*?\)(?: const)?(?:::<lambda\(.*?\)>)? (?=\S)"
)
TOO_NEW = re.compile(r"Unsupported model IR version|Opset \d+ is under development")
NEWER = (
    "(export it with an older opset, or name a newer onnxruntime among the requirements of the "
    "version)"
)
EXTERNAL = re.compile(r"external", re.IGNORECASE)
ALL_TENSORS = "(save it with save_as_external_data=False, or zip it with the files that it names)"
# A batch is filled up to as many rows as the model takes at once.
MOST_AT_ONCE = 1 << 16


class OnnxModel(FrameworkModel):
    """A session, asked for one of its outputs or for all of them."""

    # Where asking it doesn't tell.
    null_is_declared = True

    def __init__(
        self, session: onnxruntime.InferenceSession, *, spec: LoadSpec, folder: Path | None
    ) -> None:
        method = method_of(spec)
        self._session = session
        self.folder = folder
        self._inputs = [_input_of(node) for node in session.get_inputs()]
        self._outputs = _asked(session.get_outputs(), method=method)
        self._batch = _batch_of(self._inputs)
        self._probabilities = method == "predict_proba"
        taken = of_tensors(spec.input_type, [each.part for each in self._inputs])
        self.signature = self._with_nulls(taken, example=spec.example)

    def predict(self, inputs: Rows) -> Any:
        return in_batches(inputs, size=self._batch, ask=self._ask)

    def _with_nulls(self, signature: Signature, *, example: str) -> Signature:
        """With what the model makes of null, which is NaN and in most models leads to NaN."""
        scores = [node.name for node in self._session.get_outputs() if node.type in SCORES]
        if signature.input_type != COLUMNS or not scores:
            return signature

        def ask(rows: Rows) -> Any:
            def run(some: Rows) -> Any:
                answers = self._session.run(scores, feed(some, inputs=self._inputs))
                return by_row({name: _by_class(a) for name, a in zip(scores, answers, strict=True)})

            rows_of_scores = in_batches(rows, size=self._batch, ask=run)
            return np.hstack([np.ravel(score) for row in rows_of_scores for score in row.values()])

        return with_nulls(signature, ask=ask, example=example)

    def _ask(self, rows: Rows) -> Any:
        answers = self._session.run(self._outputs, feed(rows, inputs=self._inputs))
        if len(answers) == 1:
            answer = answers[0]
            return _by_class(answer) if self._probabilities else answer
        return by_row(dict(zip(self._outputs, answers, strict=True)))


def load(spec: LoadSpec) -> OnnxModel:
    if spec.head(8)[4:] == ORT_MAGIC:
        raise ArtifactInvalid("expected an .onnx file, got one in ONNX Runtime's own format")
    if not spec.starts_with(b"PK"):
        return OnnxModel(_open(spec.artifact, spec=spec), spec=spec, folder=None)
    with kept_folder() as folder:
        unpack(spec.artifact, into=folder)
        session = _open(sole_file(folder, "*.onnx"), spec=spec)
        return OnnxModel(session, spec=spec, folder=folder)


def _open(model: Path, *, spec: LoadSpec) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = spec.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Threads that wait in a loop take the core that the next model needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = _providers(spec.device)
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=providers)
    except Exception as error:
        raise ArtifactInvalid(
            f"expected a model that ONNX Runtime takes: {_words_of(error)}"
        ) from error
    if session.get_providers()[0] != providers[0][0]:
        raise LoadFailed(f"ONNX Runtime has no access to {spec.device}")
    return session


def _words_of(error: Exception) -> str:
    """Return ONNX Runtime's reason without places in its code and on the disk."""
    words = " ".join(WHERE.sub("", words_of(error)).split())
    if EXTERNAL.search(words):
        return f"{words} {ALL_TENSORS}"
    return f"{words} {NEWER}" if TOO_NEW.search(words) else words


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


def _by_class(answer: Any) -> Any:
    """Return the probabilities of maps from class to probability."""
    return [list(row.values()) for row in answer] if isinstance(answer, list) else answer


def _batch_of(inputs: Sequence[TensorInput]) -> int | None:
    batch = next((each.batch for each in inputs if each.batch), None)
    if batch is not None and not 0 < batch <= MOST_AT_ONCE:
        raise ArtifactInvalid(
            f"expected a model of 1 to {MOST_AT_ONCE} rows at once, got one of {batch}: export it "
            "with a first dimension of any size"
        )
    return batch


def _input_of(node: Any) -> TensorInput:
    if node.type not in DTYPES:
        raise ArtifactInvalid(f"expected inputs of tensors, got {node.name!r}, a {node.type}")
    sizes = [size if isinstance(size, int) else None for size in node.shape or [None]]
    return TensorInput(
        name=node.name, dtype=DTYPES[node.type], shape=tuple(sizes[1:]), batch=sizes[0]
    )
