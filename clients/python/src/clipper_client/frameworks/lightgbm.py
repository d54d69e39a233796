"""LightGBM: boosters and its estimators, in its own text format, with the names of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipper_client.frameworks.base import Framework, Saved, Saving, labels_of, made_by
from clipper_client.packing import zipped


def _save(model: Any, folder: Path, saving: Saving) -> Saved:
    contents = folder / "contents"
    contents.mkdir()
    path = contents / "model.txt"
    booster = getattr(model, "booster_", model)
    booster.save_model(path)
    labels = labels_of(model)
    if labels is not None:
        (contents / "classes.json").write_text(labels, encoding="utf-8")
        path = zipped(contents, to=folder / "model.zip")
    return Saved(path=path, runtime="lightgbm", requirements=("lightgbm",))


FRAMEWORK = Framework(
    name="lightgbm", recognises=lambda model: made_by(model, "lightgbm"), save=_save
)
