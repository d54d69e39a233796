"""Whether a decision tree can be walked.

Libraries that read trees of their own formats believe what these say: a child that isn't there is
read out of other memory, and a node below itself is walked for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from serving.container.errors import ArtifactInvalid


def check_tree(
    *,
    left: Sequence[int],
    right: Sequence[int],
    features: Sequence[int],
    n_features: int,
    leaves: int,
) -> None:
    """Raise ArtifactInvalid unless what can be reached from node 0 is a tree.

    Each node has two children, and the feature that it asks about where it has any. A child of -1
    is the first of the leaves, -2 the second, and so on.
    """
    nodes = len(left)
    if not len(right) == len(features) == nodes:
        raise ArtifactInvalid("expected a tree with two children and a feature for each node")
    children = np.array([left, right], dtype=np.int64)
    inner = children[children >= 0]
    # Nobody is above the root, and one node above each other: so there are no circles.
    if (inner == 0).any() or (inner >= nodes).any() or (children < -leaves).any():
        raise ArtifactInvalid(f"expected the children of a tree among its {nodes} nodes")
    if np.unique(inner).size != inner.size:
        raise ArtifactInvalid("expected a tree, got one with a node below two others")
    asked = np.asarray(features, dtype=np.int64)[(children >= 0).any(axis=0)]
    check_features(asked, n_features=n_features)


def check_features(asked: Iterable[int], *, n_features: int) -> None:
    """Raise ArtifactInvalid where one of them isn't there."""
    if any(not 0 <= feature < n_features for feature in asked):
        raise ArtifactInvalid(f"expected a tree that asks about {n_features} features")
