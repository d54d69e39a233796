"""XGBoost's models as they are in a file, checked before XGBoost reads them.

It believes what a file says: of children, parents, categories and classes that aren't there it
reads and writes other memory.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate, pairwise
from typing import Any

import msgspec

from serving.container.errors import ArtifactInvalid
from serving.container.trees import check_tree
from serving.container.ubjson import read_ubjson

DART, LINEAR = "dart", "gblinear"
# Each of them takes memory of every answer, so that there are as many only where trees speak of
# them. A model without trees may be of so many.
MOST_GROUPS = 1000
# No longer than what fits XGBoost's integers, and nothing that it would read otherwise.
_COUNT = re.compile(r"[0-9]{1,9}")


class TreeSize(msgspec.Struct):
    num_nodes: str
    size_leaf_vector: str = "1"


class Tree(msgspec.Struct):
    id: int
    tree_param: TreeSize
    left_children: list[int]
    right_children: list[int]
    parents: list[int]
    split_indices: list[int]
    split_conditions: list[float]
    split_type: list[int]
    default_left: list[int]
    base_weights: list[float]
    loss_changes: list[float]
    sum_hessian: list[float]
    categories: list[int] = []
    categories_nodes: list[int] = []
    categories_segments: list[int] = []
    categories_sizes: list[int] = []
    leaf_weights: list[float] = []


class KeptColumn(msgspec.Struct):
    """One column's categories: numbers, or texts one after the other."""

    values: list[float]
    offsets: list[int] = []

    @property
    def count(self) -> int:
        return len(self.offsets) - 1 if self.offsets else len(self.values)


class KeptCategories(msgspec.Struct):
    enc: list[KeptColumn] = []
    feature_segments: list[int] = []
    sorted_idx: list[int] = []


class Forest(msgspec.Struct):
    trees: list[Tree]
    tree_info: list[int]
    gbtree_model_param: dict[str, str]
    iteration_indptr: list[int] = []
    cats: KeptCategories = msgspec.field(default_factory=KeptCategories)


class Parameters(msgspec.Struct):
    num_class: str
    num_feature: str
    num_target: str = "1"


def read_model(content: bytes) -> dict[str, Any]:
    """A model of either format; raises ArtifactInvalid where asking it would lead astray."""
    try:
        model: dict[str, Any] = (
            # It may say NaN, which is not JSON.
            json.loads(content) if _is_text(content) else read_ubjson(content)
        )
        _check(model["learner"])
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ArtifactInvalid(f"expected an XGBoost model, got a broken one: {error!r}") from error
    except RecursionError:
        raise ArtifactInvalid("expected an XGBoost model, got JSON nested too deep") from None
    return model


def forest_of(learner: dict[str, Any]) -> dict[str, Any]:
    """The trees, or the weights; of `dart` those of its `gbtree`.

    XGBoost goes by the name as well, whatever else there is.
    """
    booster = learner["gradient_booster"]
    model: dict[str, Any] = (booster["gbtree"] if booster["name"] == DART else booster)["model"]
    return model


def _is_text(content: bytes) -> bool:
    """Whether an object's first name is quoted."""
    return content[1:].lstrip()[:1] in (b'"', b"}")


def _check(learner: dict[str, Any]) -> None:
    parameters = msgspec.convert(learner["learner_model_param"], Parameters)
    n_features = _count(parameters.num_feature)
    groups = max(_count(parameters.num_class), 1) * max(_count(parameters.num_target), 1)
    names = learner.get("feature_names", [])
    if len(names) not in (0, n_features):
        raise ArtifactInvalid(f"expected the names of {n_features} features, got {len(names)}")
    told = forest_of(learner)
    booster = learner["gradient_booster"]
    if booster["name"] == LINEAR:
        if len(told["weights"]) != (n_features + 1) * groups:
            raise ArtifactInvalid(f"expected the weights of {n_features} features")
        return
    _check_forest(msgspec.convert(told, Forest), n_features=n_features, groups=groups)
    if booster["name"] == DART and len(booster["weight_drop"]) != len(told["trees"]):
        raise ArtifactInvalid("expected a weight for each of the trees")


def _count(told: str) -> int:
    if not _COUNT.fullmatch(told):
        raise ArtifactInvalid(
            f"expected how many features, classes or nodes there are, got {told[:40]!r}"
        )
    return int(told)


def _check_forest(forest: Forest, *, n_features: int, groups: int) -> None:
    count = len(forest.trees)
    if len(forest.tree_info) != count or _count(forest.gbtree_model_param["num_trees"]) != count:
        raise ArtifactInvalid(f"expected each of {count} trees to say of which class it is")
    # It puts each where its number says, and asks all of these places.
    if sorted(tree.id for tree in forest.trees) != list(range(count)):
        raise ArtifactInvalid(f"expected each of {count} trees to have a number of its own")
    if groups > max(count, MOST_GROUPS):
        raise ArtifactInvalid(f"expected a tree for each class, got {count} for {groups}")
    if not all(0 <= group < groups for group in forest.tree_info):
        raise ArtifactInvalid(f"expected trees of {groups} classes")
    bounds = forest.iteration_indptr
    if bounds and (bounds[0] != 0 or bounds[-1] != count or bounds != sorted(bounds)):
        raise ArtifactInvalid(f"expected rounds of {count} trees in all")
    _check_kept(forest.cats, n_features=n_features)
    for tree in forest.trees:
        _check_sizes(tree)
        _check_categories(tree)
        check_tree(
            left=tree.left_children,
            right=tree.right_children,
            features=tree.split_indices,
            n_features=n_features,
            leaves=1,
        )


def _check_kept(kept: KeptCategories, *, n_features: int) -> None:
    """Rows of columns with categories are looked up in these."""
    bounds = [0, *accumulate(column.count for column in kept.enc)]
    if (
        len(kept.enc) not in (0, n_features)
        or kept.feature_segments != (bounds if kept.enc else [])
        or len(kept.sorted_idx) != bounds[-1]
        or not all(map(_is_whole, kept.enc))
    ):
        raise ArtifactInvalid("expected the categories of each column, in order")
    for start, end in pairwise(bounds):
        if any(not 0 <= place < end - start for place in kept.sorted_idx[start:end]):
            raise ArtifactInvalid("expected the order of the categories that a column has")


def _is_whole(column: KeptColumn) -> bool:
    offsets = column.offsets
    in_order = offsets == sorted(offsets)
    return not offsets or (in_order and offsets[0] == 0 and offsets[-1] == len(column.values))


def _check_sizes(tree: Tree) -> None:
    nodes = len(tree.left_children)
    each = (
        *(tree.right_children, tree.parents, tree.split_indices, tree.split_conditions),
        *(tree.split_type, tree.default_left, tree.loss_changes, tree.sum_hessian),
    )
    width = _count(tree.tree_param.size_leaf_vector)
    if _count(tree.tree_param.num_nodes) != nodes or any(len(values) != nodes for values in each):
        raise ArtifactInvalid(f"expected all of each of the {nodes} nodes of a tree")
    if nodes < 1 or not 0 <= width <= 1 or len(tree.base_weights) != nodes:
        raise ArtifactInvalid("expected a tree with one weight for each node")
    for left, right in zip(tree.left_children, tree.right_children, strict=True):
        if (left < 0) != (right < 0):
            raise ArtifactInvalid("expected a tree whose nodes have two children or none")
    if not all(0 <= parent < nodes for parent in tree.parents[1:]):
        raise ArtifactInvalid(f"expected the parents of a tree among its {nodes} nodes")


def _check_categories(tree: Tree) -> None:
    nodes, sizes = tree.categories_nodes, tree.categories_sizes
    if not len(nodes) == len(sizes) == len(tree.categories_segments):
        raise ArtifactInvalid("expected the categories of each node of a tree")
    of_categories = {place for place, kind in enumerate(tree.split_type) if kind == 1}
    if not set(nodes) <= set(range(len(tree.left_children))) or not of_categories <= set(nodes):
        raise ArtifactInvalid("expected a tree that has the categories it asks for")
    for start, size in zip(tree.categories_segments, sizes, strict=True):
        if start < 0 or size < 0 or start + size > len(tree.categories):
            raise ArtifactInvalid("expected a tree that has the categories it asks for")
    if any(category < 0 for category in tree.categories):
        raise ArtifactInvalid("expected categories by number")
