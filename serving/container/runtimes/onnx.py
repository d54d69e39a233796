"""ONNX models, on ONNX Runtime, alone or in a zip with the files that hold their tensors."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import DTypeLike, NDArray

from serving.container.adapters.archive import kept_folder, unpack
from serving.container.adapters.arrays import TensorInput, feed
from serving.container.failures.container_errors import ArtifactInvalid, LoadFailed, words_of
from serving.container.inputs.nulls import with_nulls
from serving.container.inputs.rows import Rows
from serving.container.inputs.signature import COLUMNS
from serving.container.runtimes.base import TensorModel, sole_file
from serving.container.spec import LoadSpec

DTYPES: Mapping[str, DTypeLike] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(string)": np.object_,
    **{f"tensor(int{bits})": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"tensor(uint{bits})": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"tensor({name})": name for name in ("bool", "float16")},
}
FLOAT = re.compile("float|double")
# What ONNX Runtime says of itself: kinds of errors, the file, lines and signatures of its C++.
WHERE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from \S+ failed:|"
    r"/\S+\.(?:h|cc):\d+ .*?\)(?: const)?(?:::<lambda\(.*?\)>)? (?=\S)"
)
HINTS = {
    r"Unsupported model IR version|Opset \d+ is under development": "export it with an older "
    "opset, or name a newer onnxruntime among the requirements of the version",
    "(?i)external": "save it with save_as_external_data=False, or zip it with the files that it "
    "names",
}
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class OnnxModel(TensorModel):
    """A session, asked for one of its outputs or for all of them."""

    def __init__(
        self, session: onnxruntime.InferenceSession, *, spec: LoadSpec, folder: Path | None
    ) -> None:
        super().__init__(inputs=[_input_of(node) for node in session.get_inputs()], spec=spec)
        self._session = session
        self.folder = folder
        outputs = session.get_outputs()
        self._names = _names_of(outputs, method=self.method)
        self._scores = [each.name for each in outputs if FLOAT.search(each.type)]
        if self.signature.input_type == COLUMNS and self._scores:
            # A label would hide that a score is NaN.
            self.signature = with_nulls(self.signature, ask=self._ask_scores, example=spec.example)

    def _ask_scores(self, rows: Rows) -> Any:
        answers = self._session.run(self._scores, feed(rows, inputs=self.inputs))
        return np.hstack([np.ravel(_by_class(answer)) for answer in answers])

    def outputs(self, tensors: Mapping[str, NDArray[Any]]) -> Any:
        answers = self._session.run(self._names, dict(tensors))
        if len(answers) > 1:
            return dict(zip(self._names, answers, strict=True))
        (answer,) = answers
        if self.method == "predict_proba":
            return _by_class(answer)
        return np.fromiter(answer, dtype=object) if isinstance(answer, list) else answer


def _by_class(answer: Any) -> Any:
    """Return probabilities as rows of numbers, which may come as a map of classes a row."""
    return np.array([list(row.values()) for row in answer]) if isinstance(answer, list) else answer


def load(spec: LoadSpec) -> OnnxModel:
    if spec.head(8)[4:] == b"ORTM":
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
    kind, _, index = spec.device.partition(":")
    providers: list[tuple[str, dict[str, int]]] = [(CPU, {})]
    if kind != "cpu":
        providers.insert(0, (CUDA, {"device_id": int(index or 0)}))
    wanted = providers[0][0]
    try:
        found = wanted in onnxruntime.get_available_providers()
        session = onnxruntime.InferenceSession(str(model), options, providers) if found else None
    except Exception as error:
        said = words_of(error).replace(f"{model.parent}/", "")
        words = " ".join(WHERE.sub("", said).split())
        hints = "".join(
            f" ({hint})" for pattern, hint in HINTS.items() if re.search(pattern, words)
        )
        raise ArtifactInvalid(
            f"expected a model that ONNX Runtime takes: {words}{hints}"
        ) from error
    if session is None or session.get_providers()[0] != wanted:
        raise LoadFailed(
            f"ONNX Runtime has no access to {spec.device}: a card needs onnxruntime-gpu in place "
            "of onnxruntime"
        )
    return session


def _names_of(outputs: Sequence[Any], *, method: str) -> list[str]:
    """Return the names of the outputs that answer."""
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
    # A batch is filled up to as many rows as the model takes at once.
    if sizes[0] is not None and not 0 < sizes[0] <= 65_536:
        raise ArtifactInvalid(
            f"expected a model of 1 to 65536 rows at once, got one of {sizes[0]}: export it with a "
            "first dimension of any size"
        )
    return TensorInput(
        name=node.name, dtype=DTYPES[node.type], shape=tuple(sizes[1:]), batch=sizes[0]
    )
