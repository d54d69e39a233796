"""scikit-learn models: skops files by default, joblib or pickle only by explicit permission."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any

import joblib
import skops.io
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from serving.container.errors import ArtifactInvalid, PickleRefused, UntrustedTypes, explain
from serving.container.parsing import Rows
from serving.container.runtimes import Artifact

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


class SklearnModel:
    """An estimator, asked with predict()."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        features = getattr(estimator, "n_features_in_", None)
        self.n_features = None if features is None else int(features)

    def predict(self, inputs: Rows) -> Any:
        return self._estimator.predict(inputs)

    def warm_up(self) -> None:
        """Nothing of its own: answering a first batch is what warms an estimator."""

    def close(self) -> None:
        """Nothing was taken."""


def load(artifact: Artifact) -> SklearnModel:
    estimator = _read(artifact)
    if not callable(getattr(estimator, "predict", None)):
        raise ArtifactInvalid(f"expected a model with predict(), got {type(estimator).__name__}")
    _check_fitted(estimator)
    # Arrays have no names: a model that was fitted on a data frame would warn at every batch.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    return SklearnModel(estimator)


def _read(artifact: Artifact) -> Any:
    if artifact.content.startswith(b"PK"):
        return _read_skops(artifact)
    if not artifact.content.startswith(PICKLE_MAGICS):
        start = artifact.content[:8]
        raise ArtifactInvalid(
            f"expected a skops, joblib or pickle file, got one starting {start!r}"
        )
    if not artifact.allow_pickle:
        raise PickleRefused(
            "this artifact is a joblib or pickle file, and loading it runs whatever code it holds: "
            "save the model with skops.io.dump(model, 'model.skops'), or have an administrator "
            "allow pickle for this version"
        )
    return joblib.load(io.BytesIO(artifact.content))


def _read_skops(artifact: Artifact) -> Any:
    try:
        untrusted = skops.io.get_untrusted_types(data=artifact.content)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ArtifactInvalid(
            f"expected a skops file, got a broken one: {explain(error)}"
        ) from error
    if untrusted and not artifact.allow_pickle:
        raise UntrustedTypes(
            f"this skops file needs types that skops does not trust: {', '.join(untrusted)}; "
            "use a model without them, or have an administrator allow pickle for this version"
        )
    return skops.io.loads(artifact.content, trusted=untrusted)


def _check_fitted(estimator: Any) -> None:
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise ArtifactInvalid(f"expected a fitted model, got one that is not: {error}") from error
    except TypeError:
        return  # not an estimator in scikit-learn's sense: it has predict(), which is enough
