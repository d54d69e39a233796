"""scikit-learn: estimators and pipelines, as skops files, which hold no code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clipper_client.errors import UNSUPPORTED_MODEL, ClipperError
from clipper_client.frameworks.base import Framework, Saved, Saving, is_of, needs
from clipper_client.requirements import packages_in
from clipper_client.sources import is_own


def _is_estimator(model: Any) -> bool:
    return is_of(model, "sklearn") and hasattr(model, "get_params")


def _save(model: Any, folder: Path, saving: Saving) -> Saved:
    try:
        import skops.io
    except ImportError as error:
        raise needs("skops", for_what="a scikit-learn model") from error
    path = folder / "model.skops"
    skops.io.dump(model, path)
    _check_types(skops.io.get_untrusted_types(file=path))
    return Saved(
        path=path,
        runtime="sklearn",
        requirements=("scikit-learn", *packages_in(model)),
    )


def _check_types(names: Iterable[str]) -> None:
    """Raise ClipperError for what no server can load: a skops file holds no code, names alone."""
    own = sorted(name for name in names if is_own(name.partition(".")[0]))
    if own:
        raise ClipperError(
            f"Expected a model of classes that are installed, got one with {', '.join(own)}, and a "
            "skops file keeps no code. Deploy a class with pred_batch, defined in a module, that "
            "asks the model: modules of your own go along.",
            code=UNSUPPORTED_MODEL,
        )


FRAMEWORK = Framework(name="sklearn", recognises=_is_estimator, save=_save)
