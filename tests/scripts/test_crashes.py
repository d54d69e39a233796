"""A process of the tests that dies says where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DYING = """
import os, signal, threading
def test_that_dies():
    forever = threading.Event()
    for _ in range(50):
        threading.Thread(target=forever.wait, daemon=True).start()
    os.kill(os.getpid(), signal.SIGSEGV)
"""


def test_the_end_of_a_run_says_where_a_process_died(tmp_path: Path) -> None:
    (tmp_path / "test_dying.py").write_text(DYING)
    (tmp_path / "pytest.ini").write_text("[pytest]")
    options = ["-p", "tests.crashes", "-p", "no:cacheprovider", "--max-worker-restart=0", "-n1"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(tmp_path / "pytest.ini"), *options, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    _, _, told = ran.stdout.partition("process gw0 died")
    assert "Fatal Python error: Segmentation fault" in told
    assert "in test_that_dies" in told
