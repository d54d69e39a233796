"""Servers that speak the protocols of remote models, as their specifications have them."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.serving.container.remote.stand_in import Asked, Said, as_json

Model = Callable[[NDArray[Any]], NDArray[Any]]
NUMPY = {"FP32": "<f4", "FP64": "<f8", "INT64": "<i8"}
LENGTH = "inference-header-content-length"


class Inference:
    """One model behind the Open Inference Protocol, as Triton answers: with bytes if asked to."""

    def __init__(
        self,
        model: Model,
        *,
        width: int,
        name: str = "iris",
        datatype: str = "FP32",
        binary: bool = True,
        described: bool = True,
    ) -> None:
        self.ready = True
        self._model = model
        self._path = f"/v2/models/{name}"
        self._tensor = {"name": "x", "datatype": datatype, "shape": [-1, width]}
        self._binary = binary
        self._described = described

    def __call__(self, asked: Asked) -> Said:
        if asked.path == f"{self._path}/ready":
            return Said(body=b"") if self.ready else as_json({"error": "not ready"}, status=400)
        if asked.path == "/v2":
            extensions = ["binary_tensor_data"] if self._binary else []
            return as_json({"name": "triton", "version": "2", "extensions": extensions})
        if asked.path == self._path and self._described:
            outputs = [{"name": "label", "datatype": "INT64", "shape": [-1]}]
            return as_json({"name": "iris", "inputs": [self._tensor], "outputs": outputs})
        if asked.path == f"{self._path}/infer" and asked.method == "POST":
            return self._infer(asked)
        return as_json({"error": f"nothing at {asked.path}"}, status=404)

    def _infer(self, asked: Asked) -> Said:
        size = int(asked.headers.get(LENGTH, len(asked.body)))
        request, content = json.loads(asked.body[:size]), asked.body[size:]
        (tensor,) = request["inputs"]
        flat = (
            np.frombuffer(content, NUMPY[tensor["datatype"]])
            if "parameters" in tensor
            else np.array(tensor["data"], NUMPY[tensor["datatype"]]).ravel()
        )
        if self._described and tensor["name"] != self._tensor["name"]:
            return as_json({"error": f"unexpected inference input {tensor['name']}"}, status=400)
        try:
            outputs = np.asarray(self._model(flat.reshape(tensor["shape"])))
        except ValueError as error:
            return as_json({"error": str(error)}, status=400)
        binary = request.get("parameters", {}).get("binary_data_output", False)
        return _answered(outputs.reshape(len(outputs), -1), binary=binary)


def _answered(outputs: NDArray[Any], *, binary: bool) -> Said:
    datatype = "INT64" if outputs.dtype.kind == "i" else "FP64"
    told: dict[str, Any] = {"name": "label", "datatype": datatype, "shape": list(outputs.shape)}
    content = outputs.astype(NUMPY[datatype]).tobytes() if binary else b""
    told |= (
        {"parameters": {"binary_data_size": len(content)}}
        if binary
        else {"data": outputs.ravel().tolist()}
    )
    head = json.dumps({"model_name": "iris", "model_version": "1", "outputs": [told]}).encode()
    headers = ((LENGTH, str(len(head))),) if binary else ()
    return Said(body=head + content, headers=headers)


class Mlflow:
    """`mlflow models serve`: /ping and /invocations, with its errors."""

    def __init__(self, model: Callable[[Any], Any]) -> None:
        self._model = model

    def __call__(self, asked: Asked) -> Said:
        if asked.path == "/ping":
            return Said(body=b"\n")
        if asked.path != "/invocations":
            return Said(status=404, body=b"<!doctype html><title>404 Not Found</title>")
        known = asked.json.keys() & {"inputs", "dataframe_split", "dataframe_records", "instances"}
        if len(known) != 1:
            return as_json({"error_code": "BAD_REQUEST", "message": "no such input"}, status=400)
        try:
            return as_json({"predictions": self._model(asked.json)})
        except ValueError as error:
            return as_json({"error_code": "BAD_REQUEST", "message": str(error)}, status=400)


def openai(asked: Asked) -> Said:
    """Chat, completions and embeddings; each says of its input what it was."""
    if asked.headers.get("authorization") != "Bearer sk-test":
        return as_json({"error": {"message": "Incorrect API key", "type": "auth"}}, status=401)
    body = asked.json
    if body.get("model") != "tiny":
        return as_json({"error": {"message": f"no model {body.get('model')}"}}, status=404)
    if re.search("/chat/completions$", asked.path):
        said = " | ".join(f"{m['role']}: {m['content']}" for m in body["messages"])
        message = {"role": "assistant", "content": said}
        return as_json({"object": "chat.completion", "choices": [{"message": message}]})
    if asked.path.endswith("/embeddings"):
        found = [{"index": i, "embedding": [len(t), 1.0]} for i, t in enumerate(body["input"])]
        return as_json({"object": "list", "data": found[::-1]})
    return as_json({"choices": [{"text": body["prompt"][::-1], "index": 0}]})
