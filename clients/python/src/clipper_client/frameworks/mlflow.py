"""MLflow: a model's folder (it has a file MLmodel), or what mlflow.pyfunc has loaded from one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipper_client.errors import UNSUPPORTED_MODEL, ClipperError
from clipper_client.frameworks.base import Framework, Saved, Saving, is_of
from clipper_client.packaging.packing import zipped
from clipper_client.packaging.written_requirements import pip_part


def is_model_folder(path: Path) -> bool:
    return (path / "MLmodel").is_file()


def _save(model: Any, folder: Path, saving: Saving) -> Saved:
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
    raise ClipperError(
        "Expected a model that was logged with MLflow, or the path of a model's folder: what was "
        "loaded from a folder doesn't know it any more.",
        code=UNSUPPORTED_MODEL,
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


FRAMEWORK = Framework("mlflow", lambda model: is_of(model, "mlflow"), _save)
