"""Frameworks with a format of their own: MLflow, PyTorch, XGBoost and others."""

from pathlib import Path
from typing import Any

from clipper_client.clipper_error import unsupported
from clipper_client.frameworks.framework import (
    Framework,
    Saved,
    Saving,
    is_of,
    kinds_of,
    labels_of,
    made_by,
)
from clipper_client.packaging.required_packages import pip_part
from clipper_client.packaging.sources import zipped


def _save_torch(model: Any, folder: Path, saving: Saving) -> Saved:
    import torch

    names = set(kinds_of(model))
    if "torch.jit._script.ScriptModule" in names:
        path = folder / "model.pt"
        torch.jit.save(model, str(path))
    else:
        program = model if type(model).__name__ == "ExportedProgram" else _exported(model, saving)
        path = folder / "model.pt2"
        torch.export.save(program, str(path))
    return Saved(path=path, runtime="torch", requirements=("torch",))


def _exported(model: Any, saving: Saving) -> Any:
    """Export a module with a first dimension that may have any length, as batches do."""
    import torch

    if saving.example is None:
        raise unsupported(
            "Expected example=, a few inputs by which torch.export traces the module."
        )
    example = torch.as_tensor(saving.example)
    if not example.is_floating_point() or example.dtype == torch.float64:
        example = example.to(_dtype_of(model)) if example.is_floating_point() else example
    # A single row would be taken for a batch that always has one.
    batch = torch.cat([example, example]) if len(example) == 1 else example
    model.eval()
    shapes = ({0: torch.export.Dim("batch")},)
    with torch.no_grad():
        return torch.export.export(model, (batch,), dynamic_shapes=shapes)


def _dtype_of(model: Any) -> Any:
    import torch

    first = next(iter(model.parameters()), None)
    return torch.float32 if first is None else first.dtype


def is_model_folder(path: Path) -> bool:
    return (path / "MLmodel").is_file()


def _save_mlflow(model: Any, folder: Path, saving: Saving) -> Saved:
    import mlflow.artifacts

    uri = _where(getattr(model, "metadata", None))
    found = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))
    return save_folder(Path(found), folder=folder)


def _where(metadata: Any) -> str:
    """Return where a loaded model was logged; one that comes from a folder doesn't say which."""
    if getattr(metadata, "model_id", None):
        return f"models:/{metadata.model_id}"
    if getattr(metadata, "run_id", None) and metadata.artifact_path:
        return f"runs:/{metadata.run_id}/{metadata.artifact_path}"
    raise unsupported(
        "Expected a model that was logged with MLflow, or the path of a model's folder: what was "
        "loaded from a folder doesn't know it any more."
    )


def save_folder(found: Path, *, folder: Path) -> Saved:
    """Pack a model's folder; what it needs is written down in it."""
    listed, conda = found / "requirements.txt", found / "conda.yaml"
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    if not lines and conda.is_file():
        lines = pip_part(conda)
    lines = lines or ["mlflow"]
    return Saved(
        path=zipped(found, to=folder / "model.zip"),
        runtime="mlflow",
        requirements=tuple(line for line in lines if line.strip()),
    )


def _save_xgboost(model: Any, folder: Path, saving: Saving) -> Saved:
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    labels = labels_of(model)
    if labels is not None:
        booster = booster.copy()  # the attribute is for the server alone
        booster.set_attr(classes=labels)
    path = folder / "model.ubj"
    booster.save_model(path)
    return Saved(path=path, runtime="xgboost", requirements=("xgboost",))


def _save_lightgbm(model: Any, folder: Path, saving: Saving) -> Saved:
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
    unpacked = folder / "pipeline"
    model.save_pretrained(unpacked)
    packed = zipped(unpacked, to=folder / "model.zip")
    return Saved(path=packed, runtime="transformers", requirements=("transformers", "torch"))


FRAMEWORKS = (
    Framework("mlflow", lambda m: is_of(m, "mlflow"), _save_mlflow),
    Framework(
        "transformers",
        lambda m: is_of(m, "transformers") and hasattr(m, "task"),
        _save_transformers,
    ),
    Framework("xgboost", lambda m: made_by(m, "xgboost"), _save_xgboost),
    Framework("lightgbm", lambda m: made_by(m, "lightgbm"), _save_lightgbm),
    Framework("catboost", lambda m: made_by(m, "catboost"), _save_catboost),
    Framework("onnx", lambda m: type(m).__name__ == "ModelProto", _save_onnx),
    Framework("keras", lambda m: is_of(m, "keras", "tf_keras") and hasattr(m, "save"), _save_keras),
    Framework("torch", lambda m: is_of(m, "torch") and hasattr(m, "state_dict"), _save_torch),
)
