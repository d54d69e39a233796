"""Keras: models in Keras's own format (.keras), which holds no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipper_client.frameworks.base import Framework, Saved, Saving, is_of


def _is_model(model: Any) -> bool:
    return is_of(model, "keras", "tf_keras") and hasattr(model, "save")


def _save(model: Any, folder: Path, saving: Saving) -> Saved:
    path = folder / "model.keras"
    model.save(path)
    return Saved(path=path, runtime="tensorflow", requirements=("tensorflow", "keras"))


FRAMEWORK = Framework(name="keras", recognises=_is_model, save=_save)
