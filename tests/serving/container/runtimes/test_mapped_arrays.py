"""The arrays of a large model are mapped where its file can be: replicas of a host share them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from serving.container.runtimes.sklearn import load
from serving.container.spec import LoadSpec

FEATURES = 64
SIZE = 32 << 20


class Nearest(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # it has no types
    """Answers with the number of the point that is nearest, and may forget a point."""

    def fit(self, points: Any, _: Any = None) -> Nearest:
        self.points_, self.n_features_in_ = points, FEATURES
        return self

    def predict(self, rows: Any) -> Any:
        return [int(np.abs(self.points_ - row).sum(axis=1).argmin()) for row in rows]

    def transform(self, rows: Any) -> Any:
        self.points_[0] = rows[0]
        return rows


def a_spec(folder: Path, *, size: int = SIZE, compress: int = 0) -> LoadSpec:
    points = np.random.default_rng(1).random((size // (8 * FEATURES), FEATURES))
    artifact = folder / "model.joblib"
    joblib.dump(Nearest().fit(points), artifact, compress=compress)
    return LoadSpec(
        runtime="sklearn",
        artifact=artifact,
        sha256=hashlib.sha256(artifact.read_bytes()).hexdigest(),
        input_type="doubles",
        allow_pickle=True,
    )


def mapped(spec: LoadSpec) -> Counter[str]:
    """Return the kernel's figures on the file's mappings in this process, in bytes."""
    text = Path("/proc/self/smaps").read_text()
    found = re.findall(rf"^.* {re.escape(str(spec.artifact))}\n((?:\w+:.*\n)+)", text, re.MULTILINE)
    total: Counter[str] = Counter()
    for lines in found:
        total.update({name: int(kb) << 10 for name, kb in re.findall(r"(\w+): +(\d+) kB", lines)})
    return total


def test_the_arrays_of_an_uncompressed_file_are_its_own_pages(tmp_path: Path) -> None:
    spec = a_spec(tmp_path)
    model = load(spec)
    row = np.zeros((1, FEATURES))
    assert model.predict(row) == joblib.load(spec.artifact).predict(row)
    seen = mapped(spec)
    assert seen["Rss"] >= SIZE
    assert seen["Anonymous"] == 0


def test_what_a_model_writes_is_its_own_and_the_file_stays(tmp_path: Path) -> None:
    spec = a_spec(tmp_path)
    model = load(replace(spec, method="transform"))
    other = load(spec)
    row = np.zeros((1, FEATURES))
    before = other.predict(row)
    assert before != [0]

    model.predict(row)  # which writes the row into the first point

    assert other.predict(row) == before
    assert mapped(spec)["Anonymous"] > 0
    spec.verify()


@pytest.mark.parametrize(
    "options",
    [{"compress": 1, "size": 18 << 20}, {"size": 8 << 20}],
    ids=["compressed", "small"],
)
def test_others_are_read(tmp_path: Path, options: dict[str, int]) -> None:
    spec = a_spec(tmp_path, **options)
    model = load(spec)
    assert model.predict(np.zeros((1, FEATURES)))
    assert not mapped(spec)
