"""Policies, batch controllers and plans are arithmetic: no clock, no chance, no waiting, no I/O."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.source import imports, modules, name, parsed

PURE = modules(
    "selection/policies",
    "selection/best_arm.py",
    "selection/ridge.py",
    "selection/beliefs.py",
    "selection/combine.py",
    "selection/lessons.py",
    "selection/replay.py",
    "selection/averages.py",
    "selection/expressions.py",
    "selection/losses.py",
    "selection/values.py",
    "selection/offpolicy",
    "selection/monitoring/sums.py",
    "selection/monitoring/earning.py",
    "selection/monitoring/estimates.py",
    "selection/monitoring/growth.py",
    "serving/engine/batching",
    "serving/engine/service_time.py",
    "serving/cluster/planning.py",
    "serving/cluster/autoscaling.py",
    "serving/cluster/readings.py",
    "serving/rpc/frames.py",
    "serving/rpc/handshake.py",
)
IMPURE = {
    *("time", "datetime", "random", "secrets", "uuid"),
    *("asyncio", "threading", "socket", "subprocess", "os", "pathlib", "io"),
    *("redis", "logging"),
}


@pytest.mark.parametrize("file", PURE, ids=name)
def test_it_imports_nothing_that_differs_from_call_to_call(file):
    assert {module.partition(".")[0] for module in imports(file)} & IMPURE == set()


@pytest.mark.parametrize("file", PURE, ids=name)
def test_it_never_waits(file):
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not any(isinstance(node, waiting) for node in ast.walk(parsed(file)))


@pytest.mark.parametrize("file", PURE, ids=name)
def test_it_opens_and_asks_for_nothing(file):
    called = {
        node.func.id
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called & {"open", "print", "input", "exec", "eval"} == set()
