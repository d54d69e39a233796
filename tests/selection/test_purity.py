"""What must run without Django and without I/O does: each is imported in a bare interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

PURE = [
    "selection.policies",
    "selection.combine",
    "selection.receipts",
    "selection.losses",
    "selection.values",
]
WITHOUT_DJANGO = [*PURE, "selection.state", "selection.outputs", "selection.feedback.service"]


def imported_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=50
    )
    return {name.partition(".")[0] for name in run.stdout.split()} | set(run.stdout.split())


@pytest.mark.parametrize("module", WITHOUT_DJANGO)
def test_it_needs_neither_django_nor_a_higher_layer(module):
    assert not imported_by(module) & {"django", "rest_framework", "serving", "clipper_site"}


@pytest.mark.parametrize("module", PURE)
def test_it_neither_waits_nor_talks(module):
    assert not imported_by(module) & {"asyncio", "redis", "numpy"}
