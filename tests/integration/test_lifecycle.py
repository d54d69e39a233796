"""Starting, stopping and starting again: beside another stack, in a folder with a long path."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from scripts.stack.command import start_command
from tests.integration.conftest import learn_once, stop_cleanly, times_learned
from tests.integration.stack import Stack


def test_a_stopped_stack_starts_again_beside_another_and_has_kept_its_data(
    stack: Stack, first: Stack
) -> None:
    printed = first.demo
    first.start()
    assert first.demo == printed
    assert "Trained" not in first.text
    learn_once(first)
    assert times_learned(first) == [2] * 5
    assert times_learned(stack) == [1] * 5
    stop_cleanly(first, by=signal.SIGINT)
    assert stack.ready()


def test_a_taken_port_is_refused_with_one_line(stack: Stack, tmp_path: Path) -> None:
    refused = subprocess.run(
        start_command(tmp_path / "var", port=stack.port),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert str(stack.port) in refused.stderr
