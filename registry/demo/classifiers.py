"""The demo's classifiers: five kinds, and second versions to deploy and to roll back."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import skops.io
from sklearn.exceptions import ConvergenceWarning
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits

from registry.demo.digits import Labels, held_out, training

SEED = 1


@dataclass(frozen=True, slots=True)
class DemoVersion:
    """A version to train."""

    model: str
    version: str
    notes: str
    build: Callable[[], Any]
    wrong_labels: bool = False

    def train(self) -> tuple[bytes, float]:
        """Return the skops file, and the share of held-out digits that the estimator gets right."""
        images, labels = training()
        estimator = self.build()
        # Such small matrices are multiplied faster by one thread than by several.
        with threadpool_limits(1), warnings.catch_warnings():
            # Stopping early is what keeps the demo's training short.
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(images, mostly_wrong(labels) if self.wrong_labels else labels)
        return skops.io.dumps(estimator), float(estimator.score(*held_out()))


def mostly_wrong(labels: Labels) -> Labels:
    """Return labels most of which are drawn by lot."""
    random = np.random.default_rng(SEED)
    drawn = random.integers(0, 10, labels.size)
    return np.where(random.random(labels.size) < 0.7, drawn, labels)


def _linear() -> LinearSVC:
    return LinearSVC(C=0.01, max_iter=300, random_state=SEED)


def _network(hidden: int, *, penalty: float, steps: int) -> Any:
    network = MLPClassifier(
        (hidden,), solver="lbfgs", alpha=penalty, max_iter=steps, random_state=SEED
    )
    return make_pipeline(MinMaxScaler(), network)


VERSIONS = (
    DemoVersion("svm-linear", "1", "Linear support vector machine.", _linear),
    DemoVersion(
        "svm-linear",
        "2",
        "The same, trained on labels that are mostly wrong: deploy it, then roll it back.",
        _linear,
        wrong_labels=True,
    ),
    DemoVersion(
        "svm-rbf",
        "1",
        "Support vector machine, radial kernel.",
        lambda: SVC(C=10, gamma=0.001),
    ),
    DemoVersion(
        "knn",
        "1",
        "Three nearest neighbours.",
        lambda: KNeighborsClassifier(3, algorithm="brute"),
    ),
    DemoVersion(
        "mlp",
        "1",
        "Network with 16 hidden units.",
        lambda: _network(16, penalty=0.1, steps=40),
    ),
    DemoVersion(
        "mlp",
        "2",
        "Network with 64 hidden units: a better one, ready to be deployed.",
        lambda: _network(64, penalty=1.0, steps=60),
    ),
    DemoVersion("naive-bayes", "1", "Gaussian naive Bayes, the weakest of the five.", GaussianNB),
)
