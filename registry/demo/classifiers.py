"""The demo's classifiers: five kinds, and second versions to deploy and to roll back."""

from __future__ import annotations

import io
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
WRONG_SHARE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoVersion:
    """One version to train."""

    model: str
    version: str
    notes: str
    build: Callable[[], Any]
    wrong_labels: bool = False

    def train(self) -> Trained:
        images, labels = training()
        estimator = self.build()
        # Such small matrices are multiplied faster by one thread than by several.
        with threadpool_limits(1), warnings.catch_warnings():
            # Stopping early is what keeps the demo's training short.
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(images, mostly_wrong(labels) if self.wrong_labels else labels)
        return Trained(estimator=estimator, accuracy=float(estimator.score(*held_out())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A fitted estimator and the share of held-out digits that it gets right."""

    estimator: Any
    accuracy: float

    def artifact(self) -> io.BytesIO:
        """The skops file; it needs no type that skops doesn't trust by itself."""
        return io.BytesIO(skops.io.dumps(self.estimator))


def mostly_wrong(labels: Labels) -> Labels:
    """The labels of a careless labeller: most of them are drawn by lot."""
    random = np.random.default_rng(SEED)
    drawn = random.integers(0, 10, labels.size)
    return np.where(random.random(labels.size) < WRONG_SHARE, drawn, labels)


def _linear() -> LinearSVC:
    return LinearSVC(C=0.01, max_iter=300, random_state=SEED)


def _network(hidden: int, *, penalty: float, steps: int) -> Any:
    network = MLPClassifier(
        (hidden,), solver="lbfgs", alpha=penalty, max_iter=steps, random_state=SEED
    )
    return make_pipeline(MinMaxScaler(), network)


VERSIONS = (
    DemoVersion(
        model="svm-linear",
        version="1",
        notes="Linear support vector machine.",
        build=_linear,
    ),
    DemoVersion(
        model="svm-linear",
        version="2",
        notes="The same, trained on labels that are mostly wrong: deploy it, then roll it back.",
        build=_linear,
        wrong_labels=True,
    ),
    DemoVersion(
        model="svm-rbf",
        version="1",
        notes="Support vector machine with a radial kernel.",
        build=lambda: SVC(C=10, gamma=0.001),
    ),
    DemoVersion(
        model="knn",
        version="1",
        notes="The three nearest neighbours.",
        build=lambda: KNeighborsClassifier(3, algorithm="brute"),
    ),
    DemoVersion(
        model="mlp",
        version="1",
        notes="Neural network with 16 hidden units.",
        build=lambda: _network(16, penalty=0.1, steps=40),
    ),
    DemoVersion(
        model="mlp",
        version="2",
        notes="Neural network with 64 hidden units: a better one, ready to be deployed.",
        build=lambda: _network(64, penalty=1.0, steps=60),
    ),
    DemoVersion(
        model="naive-bayes",
        version="1",
        notes="Gaussian naive Bayes, the weakest of the five.",
        build=GaussianNB,
    ),
)
