"""Starting again where a stack has stopped, and not where another one runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from clipper_site.stack.layout import start_command
from tests.integration.conftest import learn_once, times_learned
from tests.integration.stack import Stack


def test_a_stopped_stack_starts_again_and_has_kept_its_data(stack: Stack, first: Stack) -> None:
    """The first one lay in a folder with a long path; this one goes on from a copy of it."""
    assert stack.demo == first.demo | {"url": stack.url}
    assert "Trained" in first.text
    assert "Trained" not in stack.text
    assert times_learned(stack) == [1] * 5
    learn_once(stack)
    assert times_learned(stack) == [2] * 5


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
