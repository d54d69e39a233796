"""Looks through the arrays of a model whose indexes C takes on trust.

No guarantee, which is the box's: a file that is broken is an error here, not a crash or a loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.container.errors import ArtifactInvalid
from serving.container.estimators.sizes import check_sizes

# More objects than this have no fitted estimators among them.
MOST_OBJECTS = 5_000_000
_PLAIN = (str, bytes, int, float, bool, complex, type(None), np.generic, type)


def check_compiled(model: Any) -> None:
    """Raise ArtifactInvalid where what C believes leads out of an array: a tree's nodes anywhere
    but on or to no feature, places and sizes of the estimators in `sizes`."""
    for owner, held in everything_in(model):
        name = type(held).__name__
        if name == "Tree":
            _check_tree(held, features=_features(owner, default=int(held.n_features)))
        elif name == "TreePredictor":
            _check_predictor(held, features=_features(owner, default=None))
        else:
            check_sizes(held)


def _check_tree(tree: Any, *, features: int | None) -> None:
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    inner = left != -1
    if features is not None and int(tree.n_features) != features:
        raise ArtifactInvalid(f"expected a tree of {features} features, got {tree.n_features}")
    _check_nodes(
        left[inner],
        right[inner],
        at=np.flatnonzero(inner),
        feature=np.asarray(tree.feature)[inner],
        nodes=len(left),
        features=int(tree.n_features),
    )


def _check_predictor(predictor: Any, *, features: int | None) -> None:
    nodes = predictor.nodes
    if not len(nodes):
        raise ArtifactInvalid("expected a tree with nodes, got none")
    inner = nodes["is_leaf"] == 0
    feature = nodes["feature_idx"][inner]
    _check_nodes(
        nodes["left"][inner].astype(np.int64),
        nodes["right"][inner].astype(np.int64),
        at=np.flatnonzero(inner),
        feature=feature.astype(np.int64),
        nodes=len(nodes),
        features=int(feature.max(initial=-1)) + 1 if features is None else features,
    )
    categorical = inner & (nodes["is_categorical"] != 0)
    if (nodes["bitset_idx"][categorical] >= len(predictor.raw_left_cat_bitsets)).any():
        raise ArtifactInvalid("expected a tree whose splits have their categories, got one without")


def _check_nodes(
    left: NDArray[Any],
    right: NDArray[Any],
    *,
    at: NDArray[Any],
    feature: NDArray[Any],
    nodes: int,
    features: int,
) -> None:
    for child in (left, right):
        if (child <= at).any() or (child >= nodes).any():
            raise ArtifactInvalid("expected a tree whose nodes lead on to others, got another")
    if (feature < 0).any() or (feature >= features).any():
        raise ArtifactInvalid(f"expected a tree that splits on {features} features, got another")


def _features(owner: Any, *, default: int | None) -> int | None:
    """How many features are checked before its trees are asked."""
    features = getattr(owner, "n_features_in_", default)
    return features if isinstance(features, int) else default


def everything_in(model: Any) -> Iterator[tuple[Any, Any]]:
    """Everything in a model, each with the estimator whose attribute it is, or belongs to."""
    waiting: list[tuple[Any, Any]] = [(None, model)]
    seen: set[int] = set()
    keep: list[Any] = []
    while waiting:
        owner, held = waiting.pop()
        if isinstance(held, _PLAIN) or id(held) in seen:
            continue
        if len(seen) > MOST_OBJECTS:
            raise ArtifactInvalid(f"expected at most {MOST_OBJECTS} objects in a model, got more")
        seen.add(id(held))
        keep.append(held)  # so that nothing else gets its number
        yield owner, held
        waiting.extend((inner_owner, inner) for inner_owner, inner in _inside(owner, held))


def _inside(owner: Any, held: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(held, dict):
        yield from ((owner, inner) for inner in held.values())
    elif isinstance(held, list | tuple | set | frozenset):
        yield from ((owner, inner) for inner in held)
    elif isinstance(held, np.ndarray):
        if held.dtype == object:
            yield from ((owner, inner) for inner in held.ravel().tolist())
    else:
        attributes = getattr(held, "__dict__", None)
        if isinstance(attributes, dict):
            mine = held if "n_features_in_" in attributes else owner
            yield from ((mine, inner) for inner in attributes.values())
