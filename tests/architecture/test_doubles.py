"""The doubles in `serving/testing` are for everybody's tests and import little."""

import subprocess
import sys

from tests.architecture.source import ROOT


def test_they_need_neither_pytest_nor_django() -> None:
    code = "import sys, serving.testing; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, timeout=50
    )
    loaded = {module.partition(".")[0] for module in run.stdout.decode().split()}
    assert "serving" in loaded
    assert loaded & {"pytest", "_pytest", "hypothesis", "django", "tests"} == set()
