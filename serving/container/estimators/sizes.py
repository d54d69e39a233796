"""Whether the arrays of an estimator are as large as C takes them to be.

As in `compiled` no guarantee, which is the box's: what is broken is an error here, instead of a
crash at the first input that leads there, or answers made of whatever lay behind an array.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from serving.container.errors import ArtifactInvalid


def check_sizes(estimator: Any) -> None:
    """Raise ArtifactInvalid where an estimator of these has other arrays than it was fitted to."""
    check = CHECKS.get(type(estimator).__name__)
    if check is None:
        return
    try:
        check(estimator)
    except (AttributeError, TypeError, ValueError, LookupError):
        return  # not fitted, or of another release: it fails when it is asked


def _check_vocabulary(vectorizer: Any) -> None:
    places = list(vectorizer.vocabulary_.values())
    if not all(
        isinstance(place, int | np.integer) and 0 <= place < len(places) for place in places
    ):
        raise ArtifactInvalid(f"expected a vocabulary of {len(places)} words with their places")


def _check_encoder(encoder: Any) -> None:
    columns = [int(count) for count in encoder._n_features_outs]  # noqa: SLF001  # C goes by it
    if columns != [int(count) for count in encoder._compute_n_features_outs()]:  # noqa: SLF001
        raise ArtifactInvalid("expected an encoder with a column for each of its categories")


def _check_clusters(clusters: Any) -> None:
    features = clusters.n_features_in_
    shape = np.shape(clusters.cluster_centers_)
    if len(shape) != 2 or shape[0] < 1 or shape[1] != features:
        raise ArtifactInvalid(f"expected clusters of {features} features, got {list(shape)}")


def _check_classifier(machine: Any) -> None:
    classes = len(machine._n_support)  # noqa: SLF001  # C goes by it
    _check_vectors(machine, rows=classes - 1, intercepts=classes * (classes - 1) // 2)


def _check_regressor(machine: Any) -> None:
    _check_vectors(machine, rows=1, intercepts=1)


def _check_vectors(machine: Any, *, rows: int, intercepts: int) -> None:
    count, features = len(machine.support_), machine.n_features_in_
    # What is asked with kernels of its own keeps none of the vectors.
    vectors = (0, 0) if machine.kernel == "precomputed" else (count, features)
    if (
        np.shape(machine.support_vectors_) != vectors
        or np.shape(machine._dual_coef_) != (rows, count)
        or np.shape(machine._intercept_) != (intercepts,)
    ):
        raise ArtifactInvalid(
            f"expected support vectors of {features} features, each with its coefficients"
        )


CHECKS: Mapping[str, Callable[[Any], None]] = {
    **dict.fromkeys(("CountVectorizer", "TfidfVectorizer"), _check_vocabulary),
    "OneHotEncoder": _check_encoder,
    **dict.fromkeys(("KMeans", "MiniBatchKMeans"), _check_clusters),
    **dict.fromkeys(("SVC", "NuSVC"), _check_classifier),
    **dict.fromkeys(("SVR", "NuSVR", "OneClassSVM"), _check_regressor),
}
