"""PyTorch models: programs of torch.export (.pt2) and TorchScript (.pt).

Both are code. TorchScript has operators that read and write files; torch.export evaluates the
shapes that it reads and unpickles what isn't a plain tensor. So a version takes the permission to
run code, and its model has a process of its own. A file of `torch.save` is refused all the same:
it is a pickle of classes or of weights, without what is computed.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast, get_args

import torch

from serving.container.adapters.arrays import are_named, part_of, shaped
from serving.container.adapters.scores import most_likely, softmax
from serving.container.adapters.tensors_io import by_row, first_of
from serving.container.failures.container_errors import ArtifactInvalid, LoadFailed, explain
from serving.container.inputs.rows import InvalidRow, Rows
from serving.container.inputs.signature import DType, InputPart
from serving.container.runtimes import method_of
from serving.container.runtimes.base import TensorModel
from serving.container.spec import LoadSpec


class TorchModel(TensorModel):
    """A function from tensors to tensors, asked about one or several inputs a row."""

    def __init__(
        self, ask: Callable[..., Any], *, inputs: Sequence[TorchInput], spec: LoadSpec
    ) -> None:
        super().__init__(
            parts=[each.part for each in inputs],
            batches=[each.batch for each in inputs],
            input_type=spec.input_type,
        )
        self._call = ask
        self._inputs = inputs
        self._device = spec.device
        self._finish = FINISHES[method_of(spec)]

    def ask(self, rows: Rows) -> Any:
        with torch.inference_mode():
            return self._finish(self._call(*self._tensors(rows)))

    def _tensors(self, rows: Rows) -> list[torch.Tensor]:
        if len(self._inputs) == 1 and (hasattr(rows, "columns") or not are_named(rows)):
            return [self._inputs[0].tensor(rows, device=self._device)]
        return [
            each.tensor(part_of(rows, name=each.name, place=place), device=self._device)
            for place, each in enumerate(self._inputs)
        ]


class TorchInput:
    """One of a model's inputs; `shape` is that of one row, None where nobody says."""

    def __init__(
        self,
        name: str,
        *,
        dtype: torch.dtype,
        shape: tuple[int | None, ...] | None,
        batch: int | None,
    ) -> None:
        self.name = name
        self.batch = batch
        self._shape = shape
        self._dtype = dtype

    @property
    def part(self) -> InputPart:
        known = str(self._dtype).removeprefix("torch.")
        dtype = known if known in get_args(DType) else "float32"
        return InputPart(name=self.name, dtype=cast(DType, dtype), shape=self._shape)

    def tensor(self, rows: Rows, *, device: str) -> torch.Tensor:
        array = shaped(rows, shape=self._shape, dtype=None)
        # Of texts and of rows of different lengths there are no tensors.
        if array.dtype.kind not in "fiub":
            raise InvalidRow(f"expected numbers for {self.name}, got {array.dtype}")
        writable = array if array.flags.writeable else array.copy()
        return torch.from_numpy(writable).to(device=device, dtype=self._dtype)


def load(spec: LoadSpec) -> TorchModel:
    read = _reader_of(spec)
    if spec.device != "cpu" and not torch.cuda.is_available():
        raise LoadFailed(f"PyTorch has no access to {spec.device}")
    torch.set_num_threads(spec.threads)
    with suppress(RuntimeError):  # once work has begun, it can't be set any more
        torch.set_num_interop_threads(1)
    try:
        ask, inputs = read(spec)
    except Exception as error:
        raise ArtifactInvalid(f"expected a model that PyTorch loads: {explain(error)}") from error
    return TorchModel(ask, inputs=inputs, spec=spec)


def _reader_of(spec: LoadSpec) -> Callable[[LoadSpec], tuple[Callable[..., Any], list[TorchInput]]]:
    """Tell by the files in it what an artifact is, before anything of it is loaded."""
    try:
        with zipfile.ZipFile(spec.artifact) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise ArtifactInvalid(
            "expected a file of torch.export.save or torch.jit.save, "
            f"got one starting {spec.head(8)!r}: {error}"
        ) from error
    inner = [name.partition("/")[2] for name in names]
    if "models/model.json" in inner or "serialized_exported_program.json" in names:
        return _read_program
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        return _read_script
    if "data.pkl" in inner:
        raise ArtifactInvalid(
            "expected a file of torch.export.save or torch.jit.save, got one of torch.save: it "
            "holds weights or a pickle, without what is computed"
        )
    raise ArtifactInvalid("expected a file of torch.export.save or torch.jit.save, got another zip")


def _read_program(spec: LoadSpec) -> tuple[Callable[..., Any], list[TorchInput]]:
    # By a name without the suffix .pt2, PyTorch first warns that it can't be one.
    with spec.artifact.open("rb") as file:
        program = torch.export.load(file)
    if spec.device != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, spec.device)
    wanted = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    inputs = [_input_of(node) for node in nodes if node.name in wanted]
    return program.module(), inputs


def _input_of(node: Any) -> TorchInput:
    tensor = node.meta["val"]
    if not isinstance(tensor, torch.Tensor):
        raise ArtifactInvalid(f"expected inputs of tensors, got {node.name!r}, which is none")
    lengths = [length if isinstance(length, int) else None for length in tensor.shape] or [None]
    return TorchInput(node.name, dtype=tensor.dtype, shape=tuple(lengths[1:]), batch=lengths[0])


def _read_script(spec: LoadSpec) -> tuple[Callable[..., Any], list[TorchInput]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as long as people have such files
        script = torch.jit.load(str(spec.artifact), map_location=spec.device).eval()
    kinds = (weights.dtype for weights in script.parameters() if weights.is_floating_point())
    dtype = torch.int64 if spec.input_type == "integers" else next(kinds, torch.float32)
    takes = [argument.name for argument in script.forward.schema.arguments[1:]]
    return script, [TorchInput(name, dtype=dtype, shape=None, batch=None) for name in takes]


def _as_it_is(output: Any) -> Any:
    return by_row(_here(output))


def _softmax(output: Any) -> Any:
    return softmax(_scores(output))


def _argmax(output: Any) -> Any:
    return most_likely(_scores(output))


def _scores(output: Any) -> Any:
    """Return the scores of each class."""
    return first_of(_here(output)).float().numpy()


def _here(output: Any) -> Any:
    """The same in this machine's own memory."""
    if isinstance(output, Mapping):
        return {name: _here(tensor) for name, tensor in output.items()}
    return output.cpu() if isinstance(output, torch.Tensor) else [_here(part) for part in output]


FINISHES: Mapping[str, Callable[[Any], Any]] = {
    "predict": _as_it_is,
    "softmax": _softmax,
    "argmax": _argmax,
}
