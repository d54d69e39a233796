"""Frameworks with a format of their own: XGBoost, LightGBM, CatBoost, ONNX, Keras, Transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipper_client.frameworks.base import Framework, Saved, Saving, is_of, labels_of, made_by
from clipper_client.packaging.packing import zipped


def _save_xgboost(model: Any, folder: Path, saving: Saving) -> Saved:
    """Save boosters and estimators as UBJSON, with the names of classes."""
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    labels = labels_of(model)
    if labels is not None:
        booster = booster.copy()  # the attribute is for the server alone
        booster.set_attr(classes=labels)
    path = folder / "model.ubj"
    booster.save_model(path)
    return Saved(path=path, runtime="xgboost", requirements=("xgboost",))


def _save_lightgbm(model: Any, folder: Path, saving: Saving) -> Saved:
    """Save boosters and estimators as text, with the names of classes."""
    contents = folder / "contents"
    contents.mkdir()
    path = contents / "model.txt"
    getattr(model, "booster_", model).save_model(path)
    labels = labels_of(model)
    if labels is not None:
        (contents / "classes.json").write_text(labels, encoding="utf-8")
        path = zipped(contents, to=folder / "model.zip")
    return Saved(path=path, runtime="lightgbm", requirements=("lightgbm",))


def _save_catboost(model: Any, folder: Path, saving: Saving) -> Saved:
    path = folder / "model.cbm"
    model.save_model(str(path))
    return Saved(path=path, runtime="catboost", requirements=("catboost",))


def _save_onnx(model: Any, folder: Path, saving: Saving) -> Saved:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return Saved(path=path, runtime="onnx", requirements=("onnxruntime",))


def _save_keras(model: Any, folder: Path, saving: Saving) -> Saved:
    path = folder / "model.keras"
    model.save(path)
    return Saved(path=path, runtime="tensorflow", requirements=("tensorflow", "keras"))


def _save_transformers(model: Any, folder: Path, saving: Saving) -> Saved:
    """Save a pipeline's folder, with its weights as safetensors."""
    unpacked = folder / "pipeline"
    model.save_pretrained(unpacked)
    packed = zipped(unpacked, to=folder / "model.zip")
    return Saved(path=packed, runtime="transformers", requirements=("transformers", "torch"))


def _is_proto(model: Any) -> bool:
    return type(model).__name__ == "ModelProto" and hasattr(model, "SerializeToString")


def _is_keras(model: Any) -> bool:
    return is_of(model, "keras", "tf_keras") and hasattr(model, "save")


def _is_pipeline(model: Any) -> bool:
    return is_of(model, "transformers") and hasattr(model, "task")


FRAMEWORKS = (
    Framework("transformers", _is_pipeline, _save_transformers),
    Framework("xgboost", lambda model: made_by(model, "xgboost"), _save_xgboost),
    Framework("lightgbm", lambda model: made_by(model, "lightgbm"), _save_lightgbm),
    Framework("catboost", lambda model: made_by(model, "catboost"), _save_catboost),
    Framework("onnx", _is_proto, _save_onnx),
    Framework("keras", _is_keras, _save_keras),
)
