"""Shares of time out of py-spy's raw samples."""

from __future__ import annotations

import pytest

from benchmarks.flame import BEHIND, STAGES, costs, stages
from scripts.stack.layout import ROOT

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


LOOP = "serve (uvicorn/server.py:10);Runner.run (asyncio/runners.py:118)"
PROTOCOL = f"{LOOP};FrontProtocol.data_received (front.py:90);FrontProtocol._predict (front.py:1)"
STACKS = f"""\
{LOOP} 10
{PROTOCOL};plain_input (requests.py:2) 20
{PROTOCOL};Engine.ask (z.py:3);PredictionCache.get (c.py:4) 30
{LOOP};Redis.execute (redis/client.py:1) 40
idle (threading.py:1) 900
"""


def test_each_sample_belongs_to_the_innermost_stage() -> None:
    assert stages(STACKS) == pytest.approx(
        {
            "read sockets, the event loop": 0.1,
            "split the body": 0.2,
            "look in the cache, queue": 0.3,
            BEHIND: 0.4,
        }
    )


def test_every_stage_names_functions_that_exist() -> None:
    source = "".join(file.read_text() for file in (ROOT / "serving").rglob("*.py"))
    for names in STAGES.values():
        for name in set(names) - {"Runner.run"}:
            assert f"def {name.rpartition('.')[2]}(" in source
