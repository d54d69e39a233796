"""The Open Inference Protocol, version 2, over HTTP: Triton, KServe, MLServer and others."""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.inputs.numbers import NUMBER_TYPES
from serving.container.remote.configuration import RemoteConfiguration
from serving.container.remote.failures import AnsweredError, BrokenAnswer
from serving.container.remote.http_exchange import HttpAnswer
from serving.container.remote.protocols.dialect import (
    CannotAsk,
    Get,
    RemoteBody,
    RemoteInputs,
    decoded_answer,
)
from serving.container.remote.protocols.tensor_answers import DTYPES, TensorAnswer, datatype_of

INFER = "/infer"
JSON_LENGTH = "Inference-Header-Content-Length"
BINARY = "binary_tensor_data"
USUAL = {"doubles": "FP64", "floats": "FP32", "integers": "INT64", "strings": "BYTES"}
UNNAMED = "input-0"


class TensorDescription(msgspec.Struct, frozen=True):
    """One input or output as the server describes it; -1 in a shape is any number."""

    name: str
    datatype: str
    shape: list[int] = []


class ModelDescription(msgspec.Struct, frozen=True):
    inputs: list[TensorDescription] = []
    outputs: list[TensorDescription] = []


class ServerDescription(msgspec.Struct, frozen=True):
    extensions: list[str] = []


class OpenInference:
    """All inputs of a batch in one request: in one tensor, or by name where they are objects.

    Numbers travel as bytes where the server says that it takes them so.
    """

    one_by_one = False
    n_features: int | None = None

    def __init__(self, configuration: RemoteConfiguration, input_type: str) -> None:
        base, models, name = configuration.place.path.rstrip("/").partition("/v2/models/")
        name = name.removesuffix(INFER)
        if not models or not name:
            raise ArtifactInvalid(
                "url: Expected a path such as /v2/models/NAME or "
                f"/v2/models/NAME/versions/1, got {configuration.place.path!r}."
            )
        self._server = f"{base}/v2"
        self._model = f"{base}{models}{quote(name, safe='/%')}"
        self.path = self._model + INFER
        self._input_type = input_type
        self._output = configuration.output
        self._described: Mapping[str, TensorDescription] = {}
        self._binary = False

    async def meet(self, get: Get) -> None:
        await get(f"{self._model}/ready")
        described = await _told(get, self._model, kind=ModelDescription)
        server = await _told(get, self._server, kind=ServerDescription)
        self._binary = BINARY in server.extensions
        self._described = {tensor.name: tensor for tensor in described.inputs}
        if self._input_type in NUMBER_TYPES and len(described.inputs) == 1:
            shape = described.inputs[0].shape
            self.n_features = shape[1] if len(shape) == 2 and shape[1] > 0 else None

    def body(self, inputs: RemoteInputs) -> RemoteBody:
        if self._input_type in NUMBER_TYPES:
            return self._of_numbers(inputs)
        if inputs.raws[0].lstrip().startswith(b"{"):
            return self._packed([self._column(*column) for column in _columns(inputs)])
        if self._input_type in ("strings", "bytes"):
            return self._of_texts(inputs)
        tensor = self._the_only()
        return self._packed([self._column(tensor.name, list(inputs.rows))])

    def outputs(self, answer: HttpAnswer, *, count: int) -> Any:
        length = answer.headers.get(JSON_LENGTH.lower())
        tail = b""
        if length is not None:
            # Of Latin-1, in which headers are read, "²" is a digit too.
            size = int(length[:12]) if length.isdecimal() else -1
            if not 0 <= size <= len(answer.body):
                raise BrokenAnswer(f"expected a length in {JSON_LENGTH}, got {length[:40]!r}")
            tail = answer.body[size:]
            answer = answer._replace(body=answer.body[:size])
        return TensorAnswer(decoded_answer(answer), tail=tail).rows_of(self._output, count=count)

    # How inputs become tensors.

    def _of_numbers(self, inputs: RemoteInputs) -> RemoteBody:
        rows = _stacked(inputs.rows)
        tensor = self._the_only()
        dtype = DTYPES.get(tensor.datatype)
        shape = list(rows.shape)
        if len(tensor.shape) > 2 and all(size > 0 for size in tensor.shape[1:]):
            shape = _filled(tensor, rows=rows)
        described = {"name": tensor.name, "datatype": tensor.datatype, "shape": shape}
        if self._binary and dtype is not None:
            content = np.ascontiguousarray(rows, dtype=dtype).tobytes()
            return self._packed([described], content=content)
        flat = b",".join(raw.strip()[1:-1] for raw in inputs.raws)
        return _spliced(described, b"[" + flat + b"]")

    def _of_texts(self, inputs: RemoteInputs) -> RemoteBody:
        tensor = self._the_only()
        count = len(inputs.raws)
        shape = [count, 1] if len(tensor.shape) == 2 else [count]
        described = {"name": tensor.name, "datatype": tensor.datatype, "shape": shape}
        return _spliced(described, b"[" + b",".join(inputs.raws) + b"]")

    def _column(self, name: str, values: list[Any]) -> dict[str, Any]:
        try:
            array = np.asarray(values)
        except ValueError:
            raise CannotAsk(f"expected values of one shape in {name!r}") from None
        known = self._described.get(name)
        if array.dtype.kind not in "biufUS" or array.size == 0:
            raise CannotAsk(f"expected numbers, booleans or texts in {name!r}, of one shape")
        if known is not None and array.ndim == 1 and len(known.shape) == 2:
            array = array.reshape(-1, 1)
        return {
            "name": name,
            "datatype": known.datatype if known else datatype_of(array),
            "shape": list(array.shape),
            "data": array.ravel().tolist(),
        }

    def _packed(self, tensors: list[dict[str, Any]], *, content: bytes = b"") -> RemoteBody:
        if not content:
            return RemoteBody(msgspec.json.encode({"inputs": tensors}))
        (tensor,) = tensors
        tensor["parameters"] = {"binary_data_size": len(content)}
        wish = {"binary_data_output": True}
        head = msgspec.json.encode({"inputs": tensors, "parameters": wish})
        headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(head))}
        return RemoteBody(head + content, headers)

    def _the_only(self) -> TensorDescription:
        """The tensor that inputs without names go into."""
        if not self._described:
            return TensorDescription(UNNAMED, USUAL.get(self._input_type, "BYTES"))
        if len(self._described) > 1:
            names = ", ".join(self._described)
            raise CannotAsk(f"the model takes {names}: expected inputs that are objects of these")
        return next(iter(self._described.values()))


async def _told(get: Get, path: str, *, kind: Any) -> Any:
    """Return a server's description at a path; an empty one if it has none."""
    try:
        answer = await get(path)
        return msgspec.json.decode(answer.body, type=kind)
    except AnsweredError as error:
        # A server that is ready needn't describe its model, or say what it can.
        if error.status not in (400, 404, 405, 501):
            raise
    except (ValueError, RecursionError):
        pass
    return kind()


def _stacked(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if len({row.size for row in rows}) > 1:
        raise CannotAsk("expected inputs of one length in a batch")
    if not rows[0].size:
        raise CannotAsk("expected at least one number in an input")
    return np.concatenate(rows).reshape(len(rows), -1)


def _filled(tensor: TensorDescription, *, rows: NDArray[Any]) -> list[int]:
    """The shape of rows that the server wants as more than vectors, such as images."""
    if math.prod(tensor.shape[1:]) != rows.shape[1]:
        raise CannotAsk(f"expected inputs of the shape {tensor.shape[1:]}, got {rows.shape[1]}")
    return [len(rows), *tensor.shape[1:]]


def _columns(inputs: RemoteInputs) -> list[tuple[str, list[Any]]]:
    rows = [msgspec.json.decode(raw) for raw in inputs.raws]
    names = rows[0].keys()
    if any(not isinstance(row, dict) or row.keys() != names for row in rows):
        raise CannotAsk(f"expected objects with {', '.join(names)} in every input of a batch")
    return [(name, [row[name] for row in rows]) for name in names]


def _spliced(described: dict[str, Any], data: bytes) -> RemoteBody:
    head = msgspec.json.encode(described)
    return RemoteBody(b'{"inputs":[' + head[:-1] + b',"data":' + data + b"}]}")
