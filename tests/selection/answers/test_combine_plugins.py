"""Ways to combine that installed packages add."""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest

from core.errors import ModelFailed
from selection.answers.combine import METHODS, combine, custom
from selection.apps import add_installed_combines

ASKED = ("a:1", "b:1", "c:1")
WEIGHTS = {"a:1": 0.5, "b:1": 0.3, "c:1": 0.2}


@pytest.fixture
def added() -> Iterator[Callable[..., Any]]:
    """Add a way to combine for one test."""

    def add(function: Callable[..., Any]) -> None:
        METHODS["tested"] = custom("tested", function)

    yield add
    METHODS.pop("tested", None)


def test_a_package_combines_decoded_outputs_by_their_shares_of_trust(
    added: Callable[..., Any],
) -> None:
    def first_and_most(
        outputs: dict[str, Any], weights: dict[str, float]
    ) -> tuple[list[int], float]:
        assert outputs == {"a:1": {"x": 1}, "c:1": [2]}
        assert weights == {"a:1": pytest.approx(5 / 7), "c:1": pytest.approx(2 / 7)}
        return outputs["c:1"], 0.5

    added(first_and_most)
    output, confidence = combine(
        {"a:1": b'{"x":1}', "c:1": b"[2]"}, weights=WEIGHTS, asked=ASKED, how="tested"
    )
    assert output == b"[2]"
    assert confidence == pytest.approx(0.5 * 0.7)  # b is missing


@pytest.mark.parametrize(
    "pair", [(1, np.float32(0.5)), [1, 0.5], (1, Fraction(1, 2)), (1, np.array(0.5))]
)
def test_a_package_may_return_any_pair_and_any_kind_of_number(
    added: Callable[..., Any], pair: Any
) -> None:
    added(lambda outputs, weights: pair)
    combined = combine({"a:1": b"1", "b:1": b"2"}, weights=WEIGHTS, asked=ASKED, how="tested")
    assert combined == (b"1", pytest.approx(0.5 * 0.8))


@pytest.mark.parametrize(
    "function",
    [
        lambda outputs, weights: 1 / 0,
        lambda outputs, weights: (1, 1.5),
        lambda outputs, weights: (1, float("nan")),
        lambda outputs, weights: (object(), 1.0),
        lambda outputs, weights: 5,
        lambda outputs, weights: (1, "0.5"),
    ],
)
def test_whatever_a_package_fails_with_the_models_failed(
    added: Callable[..., Any], function: Callable[..., Any]
) -> None:
    added(function)
    with pytest.raises(ModelFailed, match="combine 'tested' failed"):
        combine({"a:1": b"1"}, weights=WEIGHTS, asked=ASKED, how="tested")


def test_packages_are_found_by_their_entry_points_and_a_broken_one_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def installed(group: str) -> list[EntryPoint]:
        assert group == "clipper.combine"
        return [
            EntryPoint("longest", "tests.selection.answers.test_combine_plugins:longest", group),
            EntryPoint(
                "broken", "tests.selection.answers.test_combine_plugins:nothing_here", group
            ),
            EntryPoint("vote", "tests.selection.answers.test_combine_plugins:longest", group),
        ]

    monkeypatch.setattr("selection.apps.entry_points", installed)
    monkeypatch.setattr("selection.apps.METHODS", methods := dict(METHODS))
    add_installed_combines()
    assert list(methods) == ["vote", "scores", "mean", "median", "longest"]
    assert methods["vote"] is METHODS["vote"]
    assert "combine 'broken' is broken and left out" in caplog.text


def longest(outputs: Mapping[str, bytes], weights: object) -> tuple[bytes, float]:
    return max(outputs.values(), key=len), 1.0
