"""Imports point one way: clipper_site → serving → selection → registry."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest

from tests.architecture.source import LAYERS, ROOT, imports, modules, name, tops

DJANGO = {"django", "rest_framework", "channels", "unfold", "celery"}
PURE = [
    *("selection/policies", "selection/answers/combine.py", "selection/receipts.py"),
    *("selection/rewards/losses.py", "selection/answers/json_values.py", "selection/contexts.py"),
    *(
        "selection/policies/statistics.py",
        "selection/learning/update.py",
        "selection/learning/replay.py",
    ),
    *("selection/answers/imputation.py", "selection/rewards/formula.py"),
]
CONTAINER = ["serving/rpc", "serving/container"]
WITHOUT_DJANGO = [
    *("registry/errors.py", "registry/specs.py", "registry/decoding.py"),
    *PURE,
    *("selection/store/state.py", "selection/store/outputs.py", "selection/feedback/service.py"),
    *("selection/feedback/default_rewards/settling.py", "serving/query/fallback.py"),
    "selection/evaluation/offpolicy",
    *CONTAINER,
    *(
        "serving/engine",
        "serving/query/processor.py",
        "serving/query/query.py",
        "serving/query/routing.py",
        "serving/query/budget.py",
    ),
]


@pytest.mark.parametrize("file", modules(*LAYERS), ids=name)
def test_a_module_imports_only_its_own_layer_and_those_below(file):
    layer = LAYERS.index(name(file).partition("/")[0])
    above = set(LAYERS[layer + 1 :])
    assert tops(file) & above == set()


@pytest.mark.parametrize("file", modules(*LAYERS), ids=name)
def test_the_code_imports_neither_its_tests_nor_its_scripts(file):
    assert tops(file) & {"tests", "scripts", "benchmarks", "examples"} == set()


@pytest.mark.parametrize("file", modules(*WITHOUT_DJANGO), ids=name)
def test_the_prediction_path_imports_no_django(file):
    assert tops(file) & DJANGO == set()


@pytest.mark.parametrize("file", modules(*CONTAINER), ids=name)
def test_a_container_runs_without_the_rest_of_clipper(file):
    ours = {module for module in imports(file) if module.partition(".")[0] in LAYERS}
    allowed = ("serving.container", "serving.rpc")
    assert {m for m in ours if not m.startswith(allowed)} - {"serving"} == set()


# What follows looks at what is loaded in the end, in an interpreter of its own.


@pytest.mark.parametrize("place", WITHOUT_DJANGO)
def test_django_and_higher_layers_are_not_loaded_on_the_way_either(place):
    above = set(LAYERS[LAYERS.index(place.partition("/")[0]) + 1 :])
    assert loaded_by(place) & (DJANGO | above) == set()


@pytest.mark.parametrize("place", CONTAINER)
def test_nor_is_anything_else_of_clipper_in_a_container(place):
    assert loaded_by(place) & set(LAYERS) == {"serving"}


@pytest.mark.parametrize("place", PURE)
def test_nor_anything_that_waits_or_talks_where_there_is_only_arithmetic(place):
    assert loaded_by(place) & {"asyncio", "redis", "numpy"} == set()


@cache
def loaded_by(place: str) -> frozenset[str]:
    names = [
        name(file).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for file in modules(place)
    ]
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, timeout=50
    )
    return frozenset(module.partition(".")[0] for module in run.stdout.decode().split())
