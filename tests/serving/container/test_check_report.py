"""A check tells what the model made of its example, what kind that is, and how long it took."""

import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from serving.container import check_report
from serving.container.__main__ import main
from serving.container.check_report import CheckReport, read_report
from serving.container.spec import LoadSpec
from serving.rpc.frames.codec import Answer, AnswerStatus
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


def test_a_text_that_is_made_up_may_make_no_sense(capfd: Any, tmp_path: Path) -> None:
    content = MODEL.replace('inputs["age"]', "inputs")
    told = checked(capfd, at=tmp_path / "a.py", content=content, input_type="strings")
    assert told["ok"]
    (sample,) = told["report"]["samples"]
    assert sample["input"] == '"a text"'
    assert "could not convert string to float" in sample["error"]
    assert "latency" not in told["report"]


def test_a_size_is_not_timed_that_would_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Slow:
        def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
            sizes.append(len(inputs))
            return [Answer(AnswerStatus.OK, b"1")] * len(inputs)

    times = count(step=0.5)  # of which each reading is half a second after the one before
    monkeypatch.setattr(check_report, "perf_counter", lambda: next(times))
    assert [time.size for time in check_report.timed(Slow(), b"1", largest=1000)] == [1, 8]
    assert sizes == [1] * 3 + [8] * 3


@pytest.mark.parametrize("told", [None, [], {"samples": 3}, {"samples": [{"input": "a" * 9999}]}])
def test_a_report_that_is_none_counts_as_empty(told: object) -> None:
    assert read_report(told) == CheckReport()
