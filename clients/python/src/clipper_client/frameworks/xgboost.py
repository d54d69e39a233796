"""XGBoost: boosters and its estimators, in its own format (UBJSON), with the names of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipper_client.frameworks.base import Framework, Saved, Saving, labels_of, made_by


def _save(model: Any, folder: Path, saving: Saving) -> Saved:
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    labels = labels_of(model)
    if labels is not None:
        booster = booster.copy()  # the attribute is for the server alone
        booster.set_attr(classes=labels)
    path = folder / "model.ubj"
    booster.save_model(path)
    return Saved(path=path, runtime="xgboost", requirements=("xgboost",))


FRAMEWORK = Framework(
    name="xgboost", recognises=lambda model: made_by(model, "xgboost"), save=_save
)
