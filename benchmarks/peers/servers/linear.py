"""What every peer's server is told by its environment: the model, the port, the wait."""

from __future__ import annotations

import os

import numpy as np
from sklearn.svm import LinearSVC

HOST = "127.0.0.1"
MAX_BATCH = 64


def load() -> LinearSVC:
    """Return the LinearSVC whose coefficients are in the file that PEER_MODEL names. No pickle: the
    peers' versions of scikit-learn and NumPy differ.
    """
    estimator = LinearSVC()
    with np.load(os.environ["PEER_MODEL"]) as fitted:
        for name in ("coef_", "intercept_", "classes_"):
            setattr(estimator, name, fitted[name])
    estimator.n_features_in_ = estimator.coef_.shape[1]
    return estimator


def port() -> int:
    return int(os.environ["PEER_PORT"])


def wait_ms() -> float:
    """How long a batch that isn't full may wait for more."""
    return float(os.environ["PEER_WAIT_MS"])
