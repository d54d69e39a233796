"""How the measured servers are started."""

from __future__ import annotations

import sys

from benchmarks.servers import clean_environment, echo_command
from scripts.stack.layout import ROOT


def test_the_echo_server_has_the_options_of_the_web_process() -> None:
    command = echo_command(ROOT / "supervisord.conf", port=1234)
    assert command[:3] == [sys.executable, "-m", "granian"]
    assert command[-1] == "benchmarks.echo:application"
    assert command[command.index("--port") + 1] == "1234"
    assert command[command.index("--workers") + 1] == "1"
    assert command[command.index("--loop") + 1] == "uvloop"
    assert not [word for word in command if "%(" in word]


def test_settings_of_this_shell_do_not_reach_the_servers() -> None:
    shell = {"PATH": "/bin", "REDIS_URL": "redis://elsewhere", "OMP_NUM_THREADS": "9"}
    assert clean_environment(shell) == {"PATH": "/bin"}
