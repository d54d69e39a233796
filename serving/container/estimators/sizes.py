"""Whether the arrays of an estimator are as large as C takes them to be.

As in `compiled` no guarantee, which is the box's: what is broken is an error here, instead of a
crash at the first input that leads there, or answers made of whatever lay behind an array.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from serving.container.errors import ArtifactInvalid

# libsvm counts pairs of them in 32 bits.
MOST_CLASSES = 1 << 15


def check_sizes(estimator: Any) -> None:
    """Raise ArtifactInvalid where an estimator of these has other arrays than it was fitted to."""
    try:
        check_sizes_closely(estimator)
    except (AttributeError, TypeError, ValueError, LookupError):
        return  # not fitted, or of another release: it fails when it is asked


def check_sizes_closely(estimator: Any) -> None:
    """The same, but whatever is raised by what can't be looked at is raised."""
    if (check := CHECKS.get(type(estimator).__name__)) is not None:
        check(estimator)


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
    counts = machine._n_support  # noqa: SLF001  # C goes by it
    classes = len(counts)
    pairs = classes * (classes - 1) // 2
    _check_vectors(machine, rows=classes - 1, intercepts=pairs)
    sigmoids = np.shape(machine._probA)  # noqa: SLF001
    if (
        not 2 <= classes <= MOST_CLASSES
        or min(counts) < 0
        or sum(counts.tolist()) != len(machine.support_)
        or sigmoids not in ((0,), (pairs,))
        or sigmoids != np.shape(machine._probB)  # noqa: SLF001
    ):
        raise ArtifactInvalid(f"expected support vectors of {classes} classes")


def _check_neighbors(neighbors: Any) -> None:
    """Those whose points are an array. Trees of points are looked through by nobody."""
    if neighbors._fit_method != "brute":  # noqa: SLF001
        return
    points = neighbors._fit_X  # noqa: SLF001
    shape = np.shape(points)
    if len(shape) != 2 or shape[1] != neighbors.n_features_in_:
        raise ArtifactInvalid(f"expected points of {neighbors.n_features_in_} features")
    if neighbors.n_samples_fit_ != shape[0]:
        raise ArtifactInvalid(f"expected {neighbors.n_samples_fit_} points, got {shape[0]}")
    if not 1 <= neighbors.n_neighbors <= shape[0]:
        raise ArtifactInvalid(f"expected 1 to {shape[0]} neighbours, got {neighbors.n_neighbors}")


def _check_labelled_neighbors(neighbors: Any) -> None:
    _check_neighbors(neighbors)
    if neighbors.outputs_2d_ or neighbors._fit_method != "brute":  # noqa: SLF001
        return
    labels, points = neighbors._y, neighbors._fit_X  # noqa: SLF001
    if np.shape(labels) != (np.shape(points)[0],) or not np.issubdtype(labels.dtype, np.integer):
        raise ArtifactInvalid(f"expected a class for each of {np.shape(points)[0]} points")
    if labels.min() < 0 or labels.max() >= len(neighbors.classes_):
        raise ArtifactInvalid(f"expected points of {len(neighbors.classes_)} classes")


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
    "KNeighborsClassifier": _check_labelled_neighbors,
    "KNeighborsRegressor": _check_neighbors,
    **dict.fromkeys(("SVR", "NuSVR", "OneClassSVM"), _check_regressor),
}
