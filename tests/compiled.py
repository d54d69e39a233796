"""Has a test run import what `make compile` has made (loaded with `-p tests.compiled`)."""

import sys

import pytest

from core import compiled
from scripts.compile import modules

# As soon as this is loaded: other plugins import what may be compiled.
LOADED = {file.removesuffix(".py").replace("/", ".") for file in modules()} & sys.modules.keys()
INSTALLED = compiled.install()


def pytest_configure() -> None:
    if LOADED:
        raise pytest.UsageError(f"imported before they may be compiled: {sorted(LOADED)}")
    if not INSTALLED:
        raise pytest.UsageError("nothing is compiled of these sources: call make compile")
