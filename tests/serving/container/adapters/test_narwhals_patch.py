"""A look for whether an array is a data frame ends at once, and says what it always said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from sklearn.svm import LinearSVC

from serving.container.adapters.narwhals_patch import LOOKS, NARWHALS, take_arrays_for_arrays
from tests.serving.container.artifacts import load_sklearn

ARRAYS = [
    np.zeros((2, 3)),
    np.zeros(3, dtype=np.float32),
    np.array(["a"]),
    np.array([{"a": 1}, None], dtype=object),
    np.zeros(0, dtype=[("a", float)]),
]


class Subclass(np.ndarray):
    """Not what it seems, as far as anybody knows."""


@pytest.fixture
def looked() -> Iterator[Any]:
    """narwhals' functions, which say of arrays what they say now."""
    before = {name: getattr(nw.dependencies, name) for name in LOOKS}
    take_arrays_for_arrays()
    yield nw.dependencies
    for name, look in before.items():
        setattr(nw.dependencies, name, look)


@pytest.mark.parametrize("name", LOOKS)
def test_an_array_is_what_it_was_to_the_long_look(looked: Any, name: str) -> None:
    look = getattr(looked, name)
    assert [look(array) for array in ARRAYS] == [look.__wrapped__(array) for array in ARRAYS]


def test_frames_and_series_are_told_as_before(looked: Any) -> None:
    frame = pd.DataFrame({"a": [1.0]})
    assert looked.is_into_dataframe(frame)
    assert looked.is_into_dataframe(nw.from_native(frame))
    assert looked.is_into_series(frame.a)
    assert not looked.is_into_dataframe(frame.a)
    assert not looked.is_into_series([1.0])


def test_whatever_is_no_plain_array_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    asked = module(is_into_dataframe=seen.append)
    monkeypatch.setitem(sys.modules, NARWHALS, asked)
    take_arrays_for_arrays()
    seen.clear()
    others = [np.zeros(2).view(Subclass), [1.0], None]
    for native in [*others, *ARRAYS]:
        asked.is_into_dataframe(native)
    assert list(map(id, seen)) == list(map(id, others))


def test_arrays_are_frames_where_a_plugin_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = module(is_into_dataframe=lambda native: True)
    monkeypatch.setitem(sys.modules, NARWHALS, asked)
    take_arrays_for_arrays()
    assert asked.is_into_dataframe(ARRAYS[0])


def test_narwhals_is_imported_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, NARWHALS)
    take_arrays_for_arrays()
    assert NARWHALS not in sys.modules


def test_a_batch_of_rows_never_comes_to_narwhals(
    svm: LinearSVC, rows: list[bytes], artifact_file: Path
) -> None:
    predictor = load_sklearn(svm, at=artifact_file)
    called: list[str] = []

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            called.append(frame.f_globals["__name__"])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        predictor.answer_batch(rows)
    finally:
        sys.setprofile(before)
    assert "sklearn.utils.validation" in called
    assert not [name for name in called if name.startswith("narwhals")]


def module(**functions: Any) -> Any:
    made = ModuleType(NARWHALS)
    vars(made).update(functions)
    return made
