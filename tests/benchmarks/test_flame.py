"""Shares of time out of py-spy's raw samples."""

from __future__ import annotations

import pytest

from benchmarks.flame import costs

SAMPLES = """\
serve (uvicorn/server.py:10);predict (api.py:20);sha256 (api.py:25) 30
serve (uvicorn/server.py:10);predict (api.py:21) 50
serve (uvicorn/server.py:12);predict (api.py:20) 20
"""


def test_lines_of_one_function_are_added_up() -> None:
    first = costs(SAMPLES)[0]
    assert first.function == "predict (api.py)"
    assert first.own == pytest.approx(0.7)
    assert first.whole == pytest.approx(1.0)


def test_a_recursive_function_counts_once_a_sample() -> None:
    (walk,) = costs("serve (uvicorn/server.py:1);walk (a.py:2);walk (a.py:2) 8\n")
    assert walk.own == walk.whole == 1.0


def test_other_threads_are_passed_over() -> None:
    idle = "_worker (concurrent/futures/thread.py:81) 900\n"
    assert costs(idle + SAMPLES) == costs(SAMPLES)


def test_only_the_top_is_shown() -> None:
    assert len(costs(SAMPLES, top=1)) == 1
