"""scikit-learn models: skops files by default, joblib or pickle only by explicit permission."""

from __future__ import annotations

import warnings
import zipfile
from typing import Any

import joblib
import skops.io
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from serving.container.errors import ArtifactInvalid, PickleRefused, UntrustedTypes, explain
from serving.container.rows import Rows
from serving.container.runtimes import RUNTIMES
from serving.container.spec import LoadSpec

# How pickles (protocol 2 and later) and joblib's compressed ones begin.
PICKLE_MAGICS = (
    b"\x80",
    b"\x1f\x8b",  # gzip
    b"\x78",  # zlib
    b"BZh",
    b"\xfd7zXZ",
    b"\x5d\x00\x00",  # lzma
    b"\x04\x22\x4d\x18",  # lz4
)
METHODS = RUNTIMES["sklearn"].methods


class SklearnModel:
    """An estimator, asked with one of its methods."""

    def __init__(self, estimator: Any, *, method: str) -> None:
        self._ask = getattr(estimator, method)
        features = getattr(estimator, "n_features_in_", None)
        self.n_features = None if features is None else int(features)

    def predict(self, inputs: Rows) -> Any:
        return self._ask(inputs)

    def warm_up(self) -> None:
        """Nothing of its own: answering a first batch is what warms an estimator."""

    def close(self) -> None:
        """Nothing was taken."""


def load(spec: LoadSpec) -> SklearnModel:
    estimator = _read(spec)
    method = spec.method or METHODS[0]
    if method not in METHODS:
        raise ArtifactInvalid(f"expected a method out of {', '.join(METHODS)}, got {method!r}")
    if not callable(getattr(estimator, method, None)):
        raise ArtifactInvalid(f"expected a model with {method}(), got {type(estimator).__name__}")
    _check_fitted(estimator)
    # Arrays have no names: a model that was fitted on a data frame would warn at every batch.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    return SklearnModel(estimator, method=method)


def _read(spec: LoadSpec) -> Any:
    if spec.starts_with(b"PK"):
        return _read_skops(spec)
    if not spec.starts_with(*PICKLE_MAGICS):
        raise ArtifactInvalid(
            f"expected a skops, joblib or pickle file, got one starting {spec.head(8)!r}"
        )
    if not spec.allow_pickle:
        raise PickleRefused(
            "this artifact is a joblib or pickle file, and loading it runs whatever code it holds: "
            "save the model with skops.io.dump(model, 'model.skops'), or have an administrator "
            "allow pickle for this version"
        )
    return joblib.load(spec.artifact)


def _read_skops(spec: LoadSpec) -> Any:
    try:
        untrusted = skops.io.get_untrusted_types(file=spec.artifact)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ArtifactInvalid(
            f"expected a skops file, got a broken one: {explain(error)}"
        ) from error
    if untrusted and not spec.allow_pickle:
        raise UntrustedTypes(
            f"this skops file needs types that skops does not trust: {', '.join(untrusted)}; "
            "use a model without them, or have an administrator allow pickle for this version"
        )
    return skops.io.load(spec.artifact, trusted=untrusted)


def _check_fitted(estimator: Any) -> None:
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise ArtifactInvalid(f"expected a fitted model, got one that is not: {error}") from error
    except TypeError:
        return  # not an estimator in scikit-learn's sense: it has predict(), which is enough
