"""Imports, as written in each module and as loaded in the end."""

import subprocess
import sys
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

from tests.architecture.source import LAYERS, ROOT, contracts, module_name, modules
from tests.interpreter import run_python

# Whoever decides an answer or learns from one loads nothing that it doesn't count with.
LIGHT = ("answers", "context_names", "policies", "receipts", "rewards")
# They count with numpy, and are loaded where a policy needs them.
HEAVIER = {
    f"selection.policies.arithmetic.{name}" for name in ("best_arm", "memory_choice", "ridge")
}


def test_every_contract_on_imports_is_kept() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# A runtime's framework need not be installed.
LOADING = """
import importlib, sys
for name in {names}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {ours}:
            raise
print(*sys.modules)
"""

# What follows looks at what is loaded in the end, in an interpreter of its own.


def test_the_prediction_path_loads_no_django() -> None:
    loaded = set().union(*path_by_layer().values())
    assert loaded & set(contracts()["prediction-path"]["forbidden_modules"]) == set()


def test_nothing_on_the_prediction_path_loads_a_higher_layer() -> None:
    higher = {
        layer: found
        for layer, loaded in path_by_layer().items()
        if (found := loaded & set(LAYERS[LAYERS.index(layer) + 1 :]))
    }
    assert higher == {}


@cache
def path_by_layer() -> dict[str, set[str]]:
    """Return the modules that the prediction path loads, by their layer."""
    names = names_below(contracts()["prediction-path"]["source_modules"])
    layers = {name.partition(".")[0] for name in names}
    return {
        layer: loaded_by({name for name in names if name.startswith(f"{layer}.")})
        for layer in layers
    }


def test_a_container_loads_nothing_else_of_clipper() -> None:
    loaded = loaded_by(names_below(contracts()["container"]["source_modules"]))
    assert loaded & set(LAYERS) == {"serving"}


def test_answers_and_policies_load_nothing_that_waits_or_talks() -> None:
    names = names_below(f"selection.{place}" for place in LIGHT)
    assert names > HEAVIER
    loaded = loaded_by(names - HEAVIER)
    assert loaded & {"asyncio", "redis", "numpy"} == set()


def test_the_console_is_loaded_where_it_is_checked_or_served_and_nowhere_else() -> None:
    """Without it workers start twice as fast, and commands, which need no Celery either."""
    environment = {"DJANGO_SETTINGS_MODULE": "clipper_site.settings", "DJANGO_SECRET_KEY": "k" * 50}
    done = run_python("-c", SET_UP, env=environment)
    assert (done.returncode, done.stdout.split()) == (0, ["[]", "console.admin"]), done.stderr


SET_UP = """
import sys, django
django.setup()
ALONE = ("console.admin", "rest_framework.views", "celery", "numpy")
print([name for name in ALONE if name in sys.modules])
from django.core.checks import run_checks
run_checks(tags=["admin"])
print("console.admin" if "console.admin" in sys.modules else "")
"""


def names_below(places: Iterable[str]) -> set[str]:
    return {module_name(file) for file in modules(*places)}


def loaded_by(names: Collection[str]) -> set[str]:
    """The top-level packages in a fresh interpreter that has imported these modules."""
    code = LOADING.format(names=sorted(names), ours=LAYERS)
    run = run_python("-c", code, check=True)
    loaded = {module.partition(".")[0] for module in run.stdout.split()}
    assert loaded & set(LAYERS), f"{names} loads nothing of ours"
    return loaded
