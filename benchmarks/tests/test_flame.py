"""Shares of time out of py-spy's raw samples."""

from __future__ import annotations

import pytest

from benchmarks.flame import BEHIND, STAGES, in_words, stages
from scripts.stack.layout import ROOT

LOOP = "serve (uvicorn/server.py:10);Runner.run (asyncio/runners.py:118)"
PROTOCOL = f"{LOOP};FrontProtocol.data_received (front.py:90);FrontProtocol._predict (front.py:1)"
STACKS = f"""\
{LOOP} 10
{PROTOCOL};plain_input (plain.py:2) 20
{PROTOCOL};Engine.ask (z.py:3);PredictionCache.get (c.py:4) 30
{LOOP};Redis.execute (redis/client.py:1) 40
idle (threading.py:1) 900
"""


def test_each_sample_belongs_to_the_innermost_stage_and_other_threads_are_passed_over():
    assert stages(STACKS) == pytest.approx(
        {
            "read sockets, the event loop": 0.1,
            "split the body": 0.2,
            "look in the cache, queue": 0.3,
            BEHIND: 0.4,
        }
    )
    assert "look in the cache, queue" in in_words(STACKS)


def test_every_stage_names_functions_that_exist():
    source = "".join(file.read_text() for file in (ROOT / "serving").rglob("*.py"))
    assert STAGES
    for names in STAGES.values():
        for name in set(names) - {"Runner.run"}:
            assert f"def {name.rpartition('.')[2]}(" in source
