"""Processes say what they are, and what is wrong with the stack stands at the head of pages."""

import json
import time
from typing import Any

import pytest
import redis

from console.live.processes import process_rows, stack_problem
from registry.releases.control import KEPT_S, KEY, note_round
from serving.metrics.published import WEBS, Metrics


def test_processes_of_both_kinds_are_listed_with_what_they_tell() -> None:
    older = {"id": "a", "rss_bytes": 64 << 20}
    newer = {"id": "b", "pid": 812, "host": "app1", "since": time.time(), "rss_bytes": 67 << 20}
    newer["applications"] = {"digits": {"rate": 10.0}, "letters": {"rate": 2.5}}
    console = newer | {"id": "c", "pid": 813, "rss_bytes": 130 << 20}
    rows = process_rows([newer, older], [console])
    assert [tuple(row.values()) for row in rows] == [
        ("predict", "—", "", "64 MiB", "—", "0 /s"),
        ("predict", "812", "app1", "67 MiB", "just now", "12 /s"),
        ("console", "813", "app1", "130 MiB", "just now", ""),
    ]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"compiled": True, "uncompiled": ""}, "812, compiled"),
        ({"compiled": False, "uncompiled": ""}, "812"),
        (
            {"compiled": False, "uncompiled": "is damaged"},
            "812, as Python: what is compiled is damaged",
        ),
    ],
)
def test_a_process_says_which_code_it_runs(told: dict[str, Any], shown: str) -> None:
    (row,) = process_rows([{"id": "a", "pid": 812} | told], [])
    assert row["process"] == shown


def test_a_silent_control_worker_is_a_problem(server_redis: redis.Redis) -> None:
    note_round(server_redis)
    assert stack_problem() == ""
    server_redis.pexpire(KEY, int((KEPT_S - 30) * 1000))
    assert "is silent for 30 s" in stack_problem()


def test_a_row_that_a_process_leaves_out_is_a_problem(server_redis: redis.Redis) -> None:
    note_round(server_redis)
    told = Metrics(process_id="a", pid=1).document(at=0.0, now=0.0, rss_bytes=1, versions={})
    told["registry"] = {"left_out": 1, "problem": "application 5 can't be read"}
    with server_redis.pipeline() as pipe:
        WEBS.write(pipe, "a", text=json.dumps(told).encode(), ttl_s=None)
        pipe.execute()
    assert stack_problem() == "application 5 can't be read"
