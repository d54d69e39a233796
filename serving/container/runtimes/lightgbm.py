"""LightGBM models in its own text format, alone or in a zip with the names of their classes.

The text holds no code: trees, and the name of an objective that LightGBM looks up in itself. It
believes what the trees say, though, so that they are checked before they are asked. Pickled models
are none of its business.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serving.container.archive import unpack
from serving.container.arrays import as_matrix
from serving.container.errors import ArtifactInvalid
from serving.container.inputs import of_features
from serving.container.rows import Rows
from serving.container.runtimes import method_of
from serving.container.scores import Label, Numbers, most_likely, of_both, read_classes
from serving.container.scratch import new_folder
from serving.container.spec import LoadSpec
from serving.container.trees import check_features, check_tree
from serving.container.unimported import without

# For estimators of its own, and for frames. They would take a second and 90 MB of every replica.
with without("pandas", "sklearn"):
    import lightgbm

CLASSES = "classes.json"
CLASSIFIERS = ("binary", "multiclass", "multiclassova")
# Where each tree begins, which LightGBM believes, and looks for itself where it isn't told; and how
# the model was trained, which no answer needs, and of which one odd line crashes it. It passes over
# a "=" before a name.
_LEFT_OUT = re.compile(
    r"^=*tree_sizes(=[^\n]*)?$|^parameters:$.*?(^end of parameters$|\Z)", re.M | re.S
)
_CATEGORICAL = 1  # the bit of a decision
# What trees ask about, wherever a line may begin: of two, LightGBM decides which counts.
_ASKED = re.compile(r"split_feature=([^\n]*)")
_LAST = re.compile(r"max_feature_idx=([^\n]*)")
# What it divides by, and takes the first word of, as soon as it reads them.
_TAKEN = re.compile(r"^=*(num_tree_per_iteration|objective)(?:[= ]+([^\n]*))?$", re.M)
# No longer than what fits LightGBM's integers, in the digits that it knows: Python knows others.
_NUMBERS = re.compile(r"([0-9]{1,9}( [0-9]{1,9})*)?")

Section = Mapping[str, str]


class LightGBMModel:
    """A booster, asked for labels or values, probabilities, or raw scores."""

    def __init__(
        self,
        booster: lightgbm.Booster,
        *,
        header: Section,
        spec: LoadSpec,
        classes: Sequence[Label] | None,
    ) -> None:
        method = method_of(spec)
        objective = header.get("objective", "").partition(" ")[0]
        is_classifier = objective in CLASSIFIERS
        if method == "predict_proba" and not is_classifier:
            raise ArtifactInvalid(f"expected a classifier for predict_proba, got {objective!r}")
        self._booster = booster
        self._classes = classes
        self._threads = spec.threads
        self._answer = {
            "predict": self._labels if is_classifier else self._values,
            "predict_proba": self._probabilities,
            "decision_function": self._raw_scores,
        }[method]
        self.signature = of_features(
            spec.input_type,
            length=int(booster.num_feature()),
            names=booster.feature_name(),
            nullable=True,
            categories=_categories(header, booster=booster),
        )
        self.n_features = self.signature.length

    def predict(self, inputs: Rows) -> Any:
        return self._answer(self._numbers(as_matrix(inputs)))

    def warm_up(self) -> None:
        """Nothing of its own: answering a first batch is what warms a booster."""

    def close(self) -> None:
        """Nothing was taken."""

    def _numbers(self, rows: Any) -> Numbers:
        """A frame as LightGBM itself would read it, which doesn't know one: see its import."""
        if not hasattr(rows, "columns"):
            return np.asarray(rows)
        frame = rows.copy(deep=False)
        names = list(frame.select_dtypes("category"))
        for name, categories in zip(names, self._booster.pandas_categorical or [], strict=True):
            codes = frame[name].cat.set_categories(categories).cat.codes
            frame[name] = codes.where(codes >= 0)
        return np.asarray(frame.to_numpy(np.float64, na_value=np.nan))

    def _labels(self, rows: Numbers) -> Any:
        return most_likely(self._probabilities(rows), classes=self._classes)

    def _probabilities(self, rows: Numbers) -> Numbers:
        told = self._values(rows)
        return told if told.ndim > 1 else of_both(told)

    def _values(self, rows: Numbers) -> Numbers:
        return self._ask(rows, raw=False)

    def _raw_scores(self, rows: Numbers) -> Numbers:
        return self._ask(rows, raw=True)

    def _ask(self, rows: Numbers, *, raw: bool) -> Numbers:
        answers: Any = self._booster.predict(rows, raw_score=raw, num_threads=self._threads)
        return np.asarray(answers)


def load(spec: LoadSpec) -> LightGBMModel:
    text, names = _read(spec)
    try:
        _check_taken(text)
        _check_counted(text)
        booster = lightgbm.Booster(model_str=_LEFT_OUT.sub("", text))
        header, *trees = _sections(booster.model_to_string())
        _check(header, trees)
    except (lightgbm.basic.LightGBMError, KeyError, ValueError) as error:
        raise ArtifactInvalid(f"expected a LightGBM model, got a broken one: {error}") from error
    return LightGBMModel(
        booster,
        header=header,
        spec=spec,
        classes=read_classes(names, count=max(int(header["num_class"]), 2)) if names else None,
    )


def _read(spec: LoadSpec) -> tuple[str, bytes | None]:
    """The model's text, and the names of its classes where the artifact has them."""
    if not spec.starts_with(b"PK"):
        return _text(spec.artifact), None
    folder = new_folder()
    try:
        unpack(spec.artifact, into=folder)
        models = sorted(folder.glob("*.txt"))
        if len(models) != 1:
            found = ", ".join(path.name for path in models) or "none"
            raise ArtifactInvalid(f"expected one .txt, the model, in the zip, got {found}")
        names = folder / CLASSES
        return _text(models[0]), names.read_bytes() if names.is_file() else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _text(path: Path) -> str:
    content = path.read_bytes()
    # Each of these ends a line for LightGBM, so that it does for what is left out too.
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not content.startswith(b"tree\n") or b"\0" in content:
        raise ArtifactInvalid(
            "expected a model saved by booster.save_model('model.txt'), "
            f"got a file starting {content[:8]!r}"
        )
    if b"\nend of trees" not in content:
        raise ArtifactInvalid("expected a whole LightGBM model, got a file that was cut off")
    return content.decode(errors="replace")


def _check_taken(text: str) -> None:
    """Raise ArtifactInvalid where LightGBM would end this process while it reads the header."""
    for name, told in _TAKEN.findall(text):
        if not told or (name != "objective" and min(_plain_integers(told)) < 1):
            raise ArtifactInvalid(f"expected a LightGBM model, got a broken one: no {name}")


def _check_counted(text: str) -> None:
    """Raise ArtifactInvalid where LightGBM, asked to write the model, would write elsewhere.

    It counts then how often each feature is asked about, at the place that the tree says.
    """
    last = [_plain_integers(told) for told in _LAST.findall(text)]
    n_features = min(map(min, filter(None, last)), default=-1) + 1
    for told in _ASKED.findall(text):
        check_features(_plain_integers(told), n_features=n_features)


def _plain_integers(told: str) -> list[int]:
    if not _NUMBERS.fullmatch(told):
        raise ArtifactInvalid(f"expected whole numbers, got {told[:40]!r}")
    return [int(number) for number in told.split()]


def _sections(text: str) -> Iterator[Section]:
    """What the header says, and each tree, of a text that LightGBM has written itself."""
    for section in re.split(r"\n(?=Tree=)", text.partition("\nend of trees")[0]):
        lines = (line.partition("=") for line in section.splitlines())
        yield {name: value for name, _, value in lines}


def _check(header: Section, trees: Sequence[Section]) -> None:
    """Raise ArtifactInvalid where following the trees would lead out of the model."""
    n_features = int(header["max_feature_idx"]) + 1
    classes = int(header["num_class"])
    told = re.search(r"num_class:(\d+)", header.get("objective", ""))
    if int(header["num_tree_per_iteration"]) != classes or (told and int(told[1]) != classes):
        raise ArtifactInvalid(f"expected trees and an objective of {classes} classes")
    for tree in trees:
        leaves = int(tree["num_leaves"])
        if leaves < 1 or len(tree["leaf_value"].split()) != leaves:
            raise ArtifactInvalid(f"expected a tree with a value for each of {leaves} leaves")
        check_features(_integers(tree, "leaf_features"), n_features=n_features)
        if leaves > 1:
            check_tree(
                left=_integers(tree, "left_child"),
                right=_integers(tree, "right_child"),
                features=_integers(tree, "split_feature"),
                n_features=n_features,
                leaves=leaves,
            )
            _check_categories(tree)


def _check_categories(tree: Section) -> None:
    """Raise ArtifactInvalid where a node asks for categories that aren't there."""
    asks = [kind & _CATEGORICAL > 0 for kind in _integers(tree, "decision_type")]
    sets = [int(float(value)) for value in np.array(tree["threshold"].split())[asks]]
    bounds = _integers(tree, "cat_boundaries") or [0]
    words = len(tree.get("cat_threshold", "").split())
    in_order = bounds == sorted(bounds) and bounds[0] == 0 and bounds[-1] <= words
    if not in_order or any(not 0 <= index < len(bounds) - 1 for index in sets):
        raise ArtifactInvalid("expected a tree that has the categories it asks for")


def _categories(header: Section, *, booster: lightgbm.Booster) -> dict[str, list[Any]]:
    """The categories of each column that was one of pandas' categories, in training's order."""
    ranges = header["feature_infos"].split()
    columns = [
        name
        for name, told in zip(booster.feature_name(), ranges, strict=True)
        if not told.startswith("[") and told != "none"
    ]
    kept = booster.pandas_categorical or []
    return dict(zip(columns, kept, strict=True)) if len(columns) == len(kept) else {}


def _integers(tree: Section, name: str) -> list[int]:
    return [int(word) for word in tree.get(name, "").split()]
