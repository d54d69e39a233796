"""Policies, batch controllers and plans are arithmetic: no clock, no chance, no waiting, no I/O."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.source import imports, modules, name, parsed

PURE = modules(
    "selection/policies",
    "selection/policies/best_arm.py",
    "selection/policies/ridge.py",
    "selection/policies/statistics.py",
    "selection/answers/combine.py",
    "selection/learning/update.py",
    "selection/learning/replay.py",
    "selection/answers/imputation.py",
    "selection/rewards/formula.py",
    "selection/rewards/losses.py",
    "selection/answers/json_values.py",
    "selection/evaluation/offpolicy",
    "selection/evaluation/monitoring/aggregates.py",
    "selection/evaluation/monitoring/rewards.py",
    "selection/evaluation/monitoring/estimates.py",
    "selection/evaluation/monitoring/counter_deltas.py",
    "serving/engine/batching",
    "serving/engine/service_time.py",
    "serving/cluster/control/planning.py",
    "serving/cluster/control/autoscaler.py",
    "serving/cluster/control/load.py",
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
