"""ONNX: a ModelProto, as it is written to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipper_client.frameworks.base import Framework, Saved, Saving


def _is_proto(model: Any) -> bool:
    return type(model).__name__ == "ModelProto" and hasattr(model, "SerializeToString")


def _save(model: Any, folder: Path, saving: Saving) -> Saved:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return Saved(path=path, runtime="onnx", requirements=("onnxruntime",))


FRAMEWORK = Framework(name="onnx", recognises=_is_proto, save=_save)
