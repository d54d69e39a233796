"""CatBoost: its models, in its own format (cbm)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipper_client.frameworks.base import Framework, Saved, Saving, made_by


def _save(model: Any, folder: Path, saving: Saving) -> Saved:
    path = folder / "model.cbm"
    model.save_model(str(path))
    return Saved(path=path, runtime="catboost", requirements=("catboost",))


FRAMEWORK = Framework(
    name="catboost", recognises=lambda model: made_by(model, "catboost"), save=_save
)
