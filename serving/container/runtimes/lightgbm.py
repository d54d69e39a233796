"""LightGBM models in its own text format, alone or in a zip with the names of their classes."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serving.container.adapters.archive import kept_folder, unpack
from serving.container.adapters.scores import Label, Numbers, read_classes
from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.runtimes.base import BoosterModel, of_features, sole_file, without
from serving.container.spec import LoadSpec

# For estimators of its own, and for frames. They would take a second and 90 MB of every replica.
with without("pandas", "sklearn"):
    import lightgbm

CLASSES = "classes.json"
CLASSIFIERS = ("binary", "multiclass", "multiclassova")
Section = Mapping[str, str]


class LightGBMModel(BoosterModel):
    """A booster of LightGBM."""

    def __init__(
        self,
        booster: lightgbm.Booster,
        *,
        header: Section,
        spec: LoadSpec,
        classes: Sequence[Label] | None,
    ) -> None:
        objective = header.get("objective", "").partition(" ")[0]
        super().__init__(
            spec=spec,
            objective=objective,
            is_classifier=objective in CLASSIFIERS,
            classes=classes,
        )
        self._booster = booster
        self._threads = spec.threads
        self.signature = of_features(
            spec.input_type,
            length=int(booster.num_feature()),
            names=booster.feature_name(),
            nullable=True,
            categories=_categories(header, booster=booster),
        )

    def values(self, rows: Any) -> Numbers:
        return self._ask(rows, raw=False)

    def scores(self, rows: Any) -> Numbers:
        return self._ask(rows, raw=True)

    def _ask(self, rows: Any, *, raw: bool) -> Numbers:
        answers: Any = self._booster.predict(
            self._numbers(rows), raw_score=raw, num_threads=self._threads
        )
        return np.asarray(answers)

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
    with kept_folder() as folder:
        unpack(spec.artifact, into=folder)
        text, names = _text(sole_file(folder, "*.txt")), folder / CLASSES
        classes = names.read_bytes() if names.is_file() else None
    shutil.rmtree(folder, ignore_errors=True)
    return text, classes


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
        for name, kind in zip(booster.feature_name(), ranges, strict=True)
        if not kind.startswith("[") and kind != "none"
    ]
    kept = booster.pandas_categorical or []
    return dict(zip(columns, kept, strict=True)) if len(columns) == len(kept) else {}
