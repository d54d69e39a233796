"""LightGBM models in its own text format, alone or in a zip with the names of their classes.

The text holds no code: trees, and the name of an objective that LightGBM looks up in itself.
Pickled models are refused.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serving.container.archive import new_folder, unpack
from serving.container.arrays import as_matrix
from serving.container.errors import ArtifactInvalid
from serving.container.inputs import of_features
from serving.container.rows import Rows
from serving.container.runtimes import method_of
from serving.container.scores import Label, Numbers, most_likely, of_both, read_classes
from serving.container.spec import LoadSpec
from serving.container.unimported import without

# For estimators of its own, and for frames. They would take a second and 90 MB of every replica.
with without("pandas", "sklearn"):
    import lightgbm

CLASSES = "classes.json"
CLASSIFIERS = ("binary", "multiclass", "multiclassova")
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
        booster = lightgbm.Booster(model_str=text)
        header = _header(booster.model_to_string(num_iteration=1))
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


def _header(text: str) -> Section:
    """Return the lines before the first tree of a text that LightGBM has written itself."""
    lines = (line.partition("=") for line in text.partition("\nTree=")[0].splitlines())
    return {name: value for name, _, value in lines}


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
