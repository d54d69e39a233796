"""Probabilities and margins of a batch, and the labels that follow from them."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.container.failures.container_errors import ArtifactInvalid

Numbers = NDArray[np.floating[Any]]
Label = str | int | float | bool


def sigmoid(margins: Numbers) -> Numbers:
    """Probabilities of the second of two classes."""
    with np.errstate(over="ignore"):  # of a margin of -1000 it is 0
        probabilities: Numbers = 1.0 / (1.0 + np.exp(-margins))
    return probabilities


def softmax(margins: Numbers) -> Numbers:
    """Probabilities along the last axis."""
    with np.errstate(invalid="ignore"):  # of what is infinite they are NaN
        powers = np.exp(margins - margins.max(axis=-1, keepdims=True))
        probabilities: Numbers = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def of_both(probabilities: Numbers) -> Numbers:
    """A column for each of two classes, from the probability of the second."""
    return np.stack([1.0 - probabilities, probabilities], axis=1)


def most_likely(scores: Numbers, *, classes: Sequence[Label] | None = None) -> Any:
    """Return the label of each row, NaN for a row with scores that aren't finite."""
    places = scores.argmax(axis=-1)
    rows = np.isfinite(scores).reshape(len(scores), -1)
    known: list[bool] = np.asarray(rows.all(axis=1)).tolist()
    if classes is None and all(known):
        return places
    labels = places.tolist() if classes is None else [classes[place] for place in places]
    return [label if sure else float("nan") for label, sure in zip(labels, known, strict=True)]


def read_classes(text: str | bytes, *, count: int) -> list[Label]:
    """The labels that a model was saved with: a JSON array with one for each of its classes."""
    try:
        classes = msgspec.json.decode(text, type=list[Label])
    except (ValueError, RecursionError) as error:
        raise ArtifactInvalid(f"expected the classes as a JSON array of labels: {error}") from error
    if len(classes) != count:
        raise ArtifactInvalid(f"expected the {count} classes of the model, got {len(classes)}")
    return classes
