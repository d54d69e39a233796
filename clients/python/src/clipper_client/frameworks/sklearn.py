"""scikit-learn: estimators and pipelines, as skops files, which hold no code.

One with classes or functions of its user's own, or of packages that skops knows nothing of, goes as
code, by the runtime python.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipper_client.errors import UNSUPPORTED_MODEL, ClipperError
from clipper_client.frameworks.base import Framework, Saved, Saving, is_of
from clipper_client.frameworks.python import save_estimator
from clipper_client.packaging.requirements import packages_in

# Types of these the server judges by their names; of others a skops file holds only the names.
KNOWN = ("sklearn", "numpy", "scipy", "functools")


def _is_estimator(model: Any) -> bool:
    return is_of(model, "sklearn") and hasattr(model, "get_params")


def _save(model: Any, folder: Path, saving: Saving) -> Saved:
    try:
        import skops.io
    except ImportError as error:
        raise ClipperError(
            "Saving a scikit-learn model takes skops, which isn't installed here: "
            "pip install skops",
            code=UNSUPPORTED_MODEL,
        ) from error
    path = folder / "model.skops"
    skops.io.dump(model, path)
    names = skops.io.get_untrusted_types(file=path)
    if any(name.partition(".")[0] not in KNOWN for name in names):
        return save_estimator(model, folder=folder, method=saving.method)
    return Saved(
        path=path,
        runtime="sklearn",
        requirements=("scikit-learn", *packages_in(model)),
    )


FRAMEWORK = Framework("sklearn", _is_estimator, _save)
