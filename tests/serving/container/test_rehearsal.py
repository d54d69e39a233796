"""A check tells what the model made of its example, what kind that is, and how long it took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serving.container.__main__ import main
from serving.container.rehearsal import CheckReport, read_report
from serving.container.spec import LoadSpec
from tests.serving.container.artifacts import save

MODEL = """
class Predictor:
    def __init__(self, path): pass
    def pred_batch(self, inputs): return [[float(age), 2.0] for age in inputs["age"]]
"""


def checked(
    capfd: Any, *, at: Path, content: str = MODEL, more: tuple[str, ...] = (), **said: Any
) -> Any:
    saved = save(content, at=at)
    spec = LoadSpec(runtime="python", **saved, **({"input_type": "columns"} | said))
    main(["check", *spec.options(), *more])
    return json.loads(capfd.readouterr().out)


def test_a_check_shows_an_answer_and_how_long_batches_take(capfd: Any, tmp_path: Path) -> None:
    told = checked(capfd, at=tmp_path / "a.py", example='{"age": 31}', more=("--largest", "20"))
    assert told["report"]["samples"] == [{"input": '{"age": 31}', "output": "[31.0,2.0]"}]
    assert [time["size"] for time in told["report"]["latency"]] == [1, 8, 20]
    assert all(0 < time["p50_ms"] <= time["p99_ms"] for time in told["report"]["latency"])
    assert told["signature"] == {
        "input_type": "columns",
        "inputs": [{"name": "age", "dtype": "float64"}],
        "output": {"kind": "array", "shape": [2]},
    }


@pytest.mark.parametrize("output", ["float('nan')", "1 / 0"])
def test_an_example_without_an_answer_fails_the_check(
    capfd: Any, tmp_path: Path, output: str
) -> None:
    content = MODEL.replace("2.0", output)
    told = checked(capfd, at=tmp_path / "a.py", content=content, example='{"age": 31}')
    assert (told["ok"], told["kind"]) == (False, "warm_up_failed")
    assert told["error"].startswith("the model failed to answer its example: ")


def test_without_an_example_nothing_is_shown(capfd: Any, tmp_path: Path) -> None:
    told = checked(capfd, at=tmp_path / "a.py")
    assert told["ok"]
    assert told["report"] == {}


@pytest.mark.parametrize("told", [None, [], {"samples": 3}, {"samples": [{"input": "a" * 9999}]}])
def test_a_report_that_is_none_counts_as_empty(told: object) -> None:
    assert read_report(told) == CheckReport()
