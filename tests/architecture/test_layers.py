"""Imports point one way: clipper_site → serving → selection → registry."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.source import LAYERS, ROOT, imports, modules, name, tops

DJANGO = {"django", "rest_framework", "channels", "unfold", "celery"}
WITHOUT_DJANGO = [
    *("registry/errors.py", "registry/specs.py"),
    *("selection/policies", "selection/combine.py", "selection/receipts.py"),
    *("serving/engine", "serving/rpc", "serving/container"),
    *("serving/query.py", "serving/routing.py"),
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


@pytest.mark.parametrize("file", modules("serving/container", "serving/rpc"), ids=name)
def test_a_container_runs_without_the_rest_of_clipper(file):
    ours = {module for module in imports(file) if module.partition(".")[0] in LAYERS}
    allowed = ("serving.container", "serving.rpc")
    assert {m for m in ours if not m.startswith(allowed)} - {"serving"} == set()


@pytest.mark.parametrize("place", WITHOUT_DJANGO)
def test_neither_do_the_modules_behind_it(place):
    """In an interpreter of its own, where whatever is imported on the way shows."""
    names = [
        name(file).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for file in modules(place)
        if file.name != "__main__.py"
    ]
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, timeout=50
    )
    loaded = {module.partition(".")[0] for module in run.stdout.decode().split()}
    assert loaded & DJANGO == set()
