"""How the measured servers are started."""

from __future__ import annotations

import sys

from benchmarks.servers import clean_environment, echo_command


def test_the_echo_runs_on_one_worker_of_granian() -> None:
    command = echo_command(1234)
    assert command[:3] == [sys.executable, "-m", "granian"]
    assert command[-1] == "benchmarks.echo:application"
    assert command[command.index("--port") + 1] == "1234"
    assert command[command.index("--workers") + 1] == "1"


def test_settings_of_this_shell_do_not_reach_the_servers() -> None:
    shell = {"PATH": "/bin", "REDIS_URL": "redis://elsewhere", "OMP_NUM_THREADS": "9"}
    assert clean_environment(shell) == {"PATH": "/bin"}
