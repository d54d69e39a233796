"""A model gets the threads and the memory that its version may take, each in its own process."""

from pathlib import Path
from typing import Any

import pytest

from tests.serving.container.test_command_line import check as check_version

MODEL = """
import os
import numpy as np
from threadpoolctl import threadpool_info

class Predictor:
    n_features = 2
    def __init__(self, path):
        {construct}
    def pred_batch(self, inputs):
        {predict}
        return [0] * len(inputs)
"""


def check(
    folder: Path, *options: str, construct: str = "pass", predict: str = "pass"
) -> dict[str, Any]:
    """Return the verdict of `serving.container check` on a model made of these lines."""
    content = MODEL.format(construct=construct, predict=predict)
    _, verdict = check_version("python", content, *options, at=folder / "predictor.py")
    return verdict


def test_a_model_within_its_limit_is_fine(tmp_path: Path) -> None:
    hoard = "self.hoard = np.ones(100 << 17)"

    assert check(tmp_path, "--memory-limit-mb", "256", construct=hoard)["ok"]


@pytest.mark.parametrize("mib", [290, 2048], ids=["a little", "far"])
def test_a_model_over_its_limit_is_refused(tmp_path: Path, mib: int) -> None:
    hoard = f"self.hoard = [np.ones(10 << 17) for _ in range({mib} // 10)]"

    verdict = check(tmp_path, "--memory-limit-mb", "256", construct=hoard)

    assert verdict["kind"] == "memory_limit_exceeded"
    assert "its memory limit of 256 MiB" in verdict["error"]


def test_a_model_that_needs_too_much_to_answer_is_refused(tmp_path: Path) -> None:
    verdict = check(tmp_path, "--memory-limit-mb", "256", predict="np.ones(1 << 30)")

    assert verdict["kind"] == "memory_limit_exceeded"
    assert "Unable to allocate 8.00 GiB" in verdict["error"]


def test_a_failure_of_another_kind_is_told_as_what_it_is(tmp_path: Path) -> None:
    verdict = check(
        tmp_path, "--memory-limit-mb", "256", construct="raise ValueError('no weights')"
    )

    assert verdict["kind"] == "load_failed"


def test_without_a_limit_a_memory_error_is_the_model_s_own(tmp_path: Path) -> None:
    verdict = check(tmp_path, construct="raise MemoryError('so it says')")

    assert verdict["kind"] == "load_failed"


@pytest.mark.parametrize("threads", [1, 3])
def test_linear_algebra_has_the_threads_of_the_version(tmp_path: Path, threads: int) -> None:
    tell = (
        "raise ValueError(({library['num_threads'] for library in threadpool_info()},"
        " os.environ['OMP_NUM_THREADS']))"
    )

    verdict = check(tmp_path, "--threads", str(threads), construct=tell)

    assert f"({{{threads}}}, '{threads}')" in verdict["error"]


def test_what_its_own_processes_hold_counts_too(tmp_path: Path) -> None:
    hoard = (
        "import subprocess, sys; self.child = subprocess.Popen([sys.executable, '-c', "
        "'hoard = bytearray(150 << 20); print(flush=True); input()'], "
        "stdin=subprocess.PIPE, stdout=subprocess.PIPE); self.child.stdout.readline(); "
        "self.hoard = np.ones(150 << 17)"
    )

    verdict = check(tmp_path, "--memory-limit-mb", "256", construct=hoard)

    assert "more than its memory limit of 256 MiB" in verdict["error"]
