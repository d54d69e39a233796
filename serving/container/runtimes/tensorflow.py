"""TensorFlow models: Keras files (`.keras`), and SavedModels as a zip of their folder.

A SavedModel is a program, and has operators that read and write files. A Keras file names classes
to be imported, and may hold Python's byte code (a Lambda layer), which Keras' safe mode refuses;
ways around that have been found more than once. So a version takes the permission to run code, and
its model has a process of its own; byte code it loads only where pickle is allowed as well.
"""

import os
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # it is read once, when it is imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import tensorflow
from numpy.typing import NDArray

from serving.container.adapters.archive import new_folder, unpack
from serving.container.adapters.arrays import TensorInput, first_of
from serving.container.failures.container_errors import (
    ALLOW_PICKLE,
    ArtifactInvalid,
    LoadFailed,
    PickleRefused,
    explain,
)
from serving.container.runtimes.base import TensorModel
from serving.container.spec import LoadSpec

KERAS, SAVED_MODEL = "config.json", "saved_model.pb"
SIGNATURE = "serving_default"
EXPECTED = "expected a file of model.save('model.keras'), or a zip of a SavedModel's folder"

Ask = Callable[[Mapping[str, Any]], Any]


class TensorFlowModel(TensorModel):
    """A Keras model, or a signature of a SavedModel."""

    def __init__(self, ask: Ask, *, inputs: Sequence[TensorInput], spec: LoadSpec) -> None:
        super().__init__(inputs=inputs, spec=spec)
        self._call = ask
        self._device = "/CPU:0" if spec.device == "cpu" else f"/GPU:{spec.device[-1]}"

    def outputs(self, tensors: Mapping[str, NDArray[Any]]) -> Any:
        with tensorflow.device(self._device):
            return _in_numpy(self._call(tensors))


def load(spec: LoadSpec) -> TensorFlowModel:
    read = _reader_of(spec)
    if spec.device != "cpu" and not tensorflow.config.list_physical_devices("GPU"):
        raise LoadFailed(f"TensorFlow has no access to {spec.device}")
    with suppress(RuntimeError):  # once work has begun, they can't be set any more
        tensorflow.config.threading.set_intra_op_parallelism_threads(spec.threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    folder = new_folder()
    try:
        ask, inputs = read(spec, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # all of it has been read
    return TensorFlowModel(ask, inputs=inputs, spec=spec)


def _reader_of(spec: LoadSpec) -> Callable[[LoadSpec, Path], tuple[Ask, list[TensorInput]]]:
    """Tell by the files in it what an artifact is."""
    try:
        with zipfile.ZipFile(spec.artifact) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise ArtifactInvalid(f"{EXPECTED}, got {spec.head(8)!r}…: {error}") from error
    if any(Path(name).name == SAVED_MODEL for name in names):
        return _read_saved_model
    if KERAS in names:
        return _read_keras
    raise ArtifactInvalid(f"{EXPECTED}, got another zip")


def _read_keras(spec: LoadSpec, folder: Path) -> tuple[Ask, list[TensorInput]]:
    file = folder / "model.keras"  # Keras goes by the suffix
    file.symlink_to(spec.artifact.resolve())
    try:
        model = tensorflow.keras.models.load_model(
            file, compile=False, safe_mode=not spec.allow_pickle
        )
    except Exception as error:
        if "safe_mode" in str(error) or "unsafe" in str(error):
            raise PickleRefused(
                "this model holds Python's byte code (a Lambda layer): write it as a layer of its "
                f"own or as a function that Keras knows, or {ALLOW_PICKLE}"
            ) from error
        raise ArtifactInvalid(f"expected a model that Keras loads: {explain(error)}") from error
    if not model.inputs:
        raise ArtifactInvalid("expected a model that knows its inputs, got one that wasn't built")
    takes = [_input_of(each.name, each.shape, dtype=each.dtype) for each in model.inputs]
    signature = [
        tensorflow.TensorSpec(each.shape, dtype=each.dtype, name=each.name) for each in model.inputs
    ]

    @tensorflow.function(input_signature=[signature])
    def answer(tensors: Any) -> Any:
        return model(tensors if len(tensors) > 1 else tensors[0], training=False)

    def ask(tensors: Mapping[str, Any]) -> Any:
        return answer([tensorflow.constant(tensors[each.name]) for each in takes])

    return ask, takes


def _read_saved_model(spec: LoadSpec, folder: Path) -> tuple[Ask, list[TensorInput]]:
    unpack(spec.artifact, into=folder)
    found = sorted(path.parent for path in folder.rglob(SAVED_MODEL))
    if len(found) != 1:
        raise ArtifactInvalid(f"expected a zip of one SavedModel, got {len(found)} of them")
    try:
        loaded = tensorflow.saved_model.load(str(found[0]))
    except Exception as error:
        said = explain(error)
        raise ArtifactInvalid(f"expected a model that TensorFlow loads: {said}") from error
    if SIGNATURE not in loaded.signatures:
        there = ", ".join(loaded.signatures) or "none"
        raise ArtifactInvalid(f"expected a SavedModel with the signature {SIGNATURE}, got {there}")
    answer = loaded.signatures[SIGNATURE]
    takes = [
        _input_of(name, tensor.shape, dtype=tensor.dtype)
        for name, tensor in sorted(answer.structured_input_signature[1].items())
    ]

    def ask(tensors: Mapping[str, Any], model: Any = loaded) -> Any:  # whose variables it needs
        given = {name: tensorflow.constant(tensor) for name, tensor in tensors.items()}
        outputs = answer(**given)
        return outputs if len(outputs) > 1 else first_of(outputs)

    return ask, takes


def _input_of(name: str, shape: Any, *, dtype: Any) -> TensorInput:
    sizes: list[int | None] = [None if size is None else int(size) for size in shape]
    return TensorInput(
        name=name,
        dtype=tensorflow.as_dtype(dtype).as_numpy_dtype,
        shape=tuple(sizes[1:]),
        batch=sizes[0] if sizes else None,
    )


def _in_numpy(outputs: Any) -> Any:
    if isinstance(outputs, Mapping):
        return {name: _in_numpy(output) for name, output in outputs.items()}
    if isinstance(outputs, list | tuple):
        return [_in_numpy(output) for output in outputs]
    array = outputs.numpy()
    if array.dtype != object:
        return array
    texts = [value.decode() for value in array.ravel()]  # they are bytes for TensorFlow
    return np.array(texts, dtype=object).reshape(array.shape)
