"""Says at the end of a run where a process of the tests died (loaded with `-p`).

The process writes where each of its threads was; among the output of the others nobody finds it.
"""

import faulthandler
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

MOST_LINES = 60
# How faulthandler begins the thread that was running.
CURRENT = "Current thread"


@pytest.hookimpl(trylast=True)  # pytest's own plugin would write to the output
def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        dump = Path(config.workerinput["crashes"], config.workerinput["workerid"])
        config.pluginmanager.register(Dumping(dump))
    elif config.getoption("dist", "no") != "no":
        config.pluginmanager.register(Crashes())


class Dumping:
    """In each of the others. A test may have had crashes told elsewhere."""

    def __init__(self, dump: Path) -> None:
        self._file = dump.open("w")

    def pytest_runtest_setup(self) -> None:
        faulthandler.enable(self._file, all_threads=True)


class Crashes:
    """In the process that starts the others."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="clipper-crashes-"))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["crashes"] = str(self._folder)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for dump in sorted(self._folder.iterdir()):
            if lines := dump.read_text().splitlines():
                terminalreporter.section(f"process {dump.name} died")
                terminalreporter.write_line("\n".join(told(lines)))

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def told(lines: list[str]) -> list[str]:
    """Return the lines to show of a dump: its cause, then the dead thread, which it has last."""
    current = next((at for at, line in enumerate(lines) if line.startswith(CURRENT)), 1)
    return [*lines[:1], *lines[current:], *lines[1:current]][:MOST_LINES]
