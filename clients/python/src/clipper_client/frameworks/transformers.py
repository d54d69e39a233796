"""Transformers: a pipeline's folder, weights as safetensors, in a zip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipper_client.frameworks.base import Framework, Saved, Saving, is_of
from clipper_client.packing import zipped


def _is_pipeline(model: Any) -> bool:
    return is_of(model, "transformers") and hasattr(model, "task")


def _save(model: Any, folder: Path, saving: Saving) -> Saved:
    unpacked = folder / "pipeline"
    model.save_pretrained(unpacked)
    return Saved(
        path=zipped(unpacked, to=folder / "model.zip"),
        runtime="transformers",
        requirements=("transformers", "torch"),
    )


FRAMEWORK = Framework(name="transformers", recognises=_is_pipeline, save=_save)
