"""PyTorch models: programs of torch.export (.pt2) and TorchScript (.pt).

Both are code. TorchScript has operators that read and write files; torch.export evaluates the
shapes that it reads and unpickles what isn't a plain tensor. So a version takes the permission to
run code, and its model has a process of its own. A file of `torch.save` is refused all the same:
it is a pickle of classes or of weights, without what is computed.
"""

import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, get_args

import torch
from numpy.typing import NDArray

from serving.container.adapters.arrays import TensorInput
from serving.container.failures.container_errors import ArtifactInvalid, LoadFailed, explain
from serving.container.inputs.signature import DType
from serving.container.runtimes.base import TensorModel
from serving.container.spec import LoadSpec

TorchInput = tuple[TensorInput, torch.dtype]


class TorchModel(TensorModel):
    """A function from tensors to tensors, asked about one or several inputs a row."""

    def __init__(
        self, ask: Callable[..., Any], *, inputs: Sequence[TorchInput], spec: LoadSpec
    ) -> None:
        super().__init__(inputs=[each for each, _ in inputs], spec=spec)
        self._call = ask
        self._dtypes = {each.name: dtype for each, dtype in inputs}
        self._device = spec.device

    def outputs(self, tensors: Mapping[str, NDArray[Any]]) -> Any:
        with torch.inference_mode():
            given = [
                torch.tensor(tensors[name], dtype=dtype, device=self._device)
                for name, dtype in self._dtypes.items()
            ]
            return _in_numpy(self._call(*given))


def load(spec: LoadSpec) -> TorchModel:
    read = _reader_of(spec)
    prepare(spec)
    try:
        ask, inputs = read(spec)
    except Exception as error:
        raise ArtifactInvalid(f"expected a model that PyTorch loads: {explain(error)}") from error
    return TorchModel(ask, inputs=inputs, spec=spec)


def prepare(spec: LoadSpec) -> None:
    """Set PyTorch's threads; raises LoadFailed for a card that isn't there."""
    if spec.device != "cpu" and not torch.cuda.is_available():
        raise LoadFailed(f"PyTorch has no access to {spec.device}")
    torch.set_num_threads(spec.threads)
    with suppress(RuntimeError):  # once work has begun, it can't be set any more
        torch.set_num_interop_threads(1)


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
    return _torch_input(node.name, tensor.dtype, shape=tuple(lengths[1:]), batch=lengths[0])


def _torch_input(
    name: str,
    dtype: torch.dtype,
    *,
    shape: tuple[int | None, ...] | None = None,
    batch: int | None = None,
) -> TorchInput:
    known = str(dtype).removeprefix("torch.")
    known = known if known in get_args(DType) else "float32"  # such as of bfloat16
    return TensorInput(name=name, dtype=known, shape=shape, batch=batch), dtype


def _read_script(spec: LoadSpec) -> tuple[Callable[..., Any], list[TorchInput]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as long as people have such files
        script = torch.jit.load(str(spec.artifact), map_location=spec.device).eval()
    kinds = (weights.dtype for weights in script.parameters() if weights.is_floating_point())
    dtype = torch.int64 if spec.input_type == "integers" else next(kinds, torch.float32)
    takes = [argument.name for argument in script.forward.schema.arguments[1:]]
    return script, [_torch_input(name, dtype) for name in takes]


def _in_numpy(output: Any) -> Any:
    if isinstance(output, Mapping):
        return {name: _in_numpy(tensor) for name, tensor in output.items()}
    if not isinstance(output, torch.Tensor):
        return [_in_numpy(part) for part in output]
    half = output.dtype in (torch.float16, torch.bfloat16)
    return (output.float() if half else output).cpu().numpy()
