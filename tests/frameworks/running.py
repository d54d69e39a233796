"""Runs the tests of frameworks: of each runtime in its environment, and of models out of it."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from tests.frameworks.environments import (
    COMPILED,
    HERE,
    LONG,
    MARK,
    ROOT,
    SERVERS,
    TUTORIALS,
    environment,
)
from tests.long import OPTION

TESTED_WITHIN_S = 900.0
ENDS_WITHIN_S = 90.0
# Names the frameworks whose models are to be deployed.
DEPLOYED = "CLIPPER_DEPLOYED_FRAMEWORKS"
# What isn't of one framework: what pytest runs of it.
APART = {
    TUTORIALS: [str(HERE / "tutorials.py")],
    SERVERS: [str(HERE / "remote_servers.py")],
    LONG: ["tests", OPTION, "--numprocesses", "3"],
    COMPILED: [
        *("-p", "tests.compiled", "--numprocesses", "3"),
        *(f"tests/serving/{name}" for name in ("http", "endpoints", "engine", "query", "rpc")),
        *(f"tests/selection/{name}" for name in ("answers", "store", "test_reliability.py")),
        "tests/selection/feedback/intake",
        # Stacks, whose processes find by themselves what is compiled.
        *(
            f"tests/integration/{name}"
            for name in ("processes/test_two_kinds.py", "queries/test_websocket.py")
        ),
    ],
}
# What has to be done before, if anything.
FIRST = {COMPILED: ["make", "compile"]}
DEPLOYED_TESTS = "tests/frameworks/test_deployed.py"
# The nearest file with settings is that of the environments.
SETTINGS = ("-c", "pyproject.toml", "-p", "no:cacheprovider")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """Result and output of a run of tests."""

    passed: bool
    output: str


def run_tests(name: str, *, within_s: float = TESTED_WITHIN_S) -> Tested:
    """Run the tests of a framework's runtime in its environment; raises EnvironmentFailed."""
    with environment(name) as python:
        command = [
            *(str(python), "-m", "pytest", f"tests/frameworks/test_{name}_runtime.py"),
            *("-c", str(HERE / "pytest.ini"), "--confcutdir", str(HERE)),
        ]
        # Others use the environment too: it stays as it was built.
        more = {MARK: name, "PYTHONDONTWRITEBYTECODE": "1"}
        return run(command, more=more, within_s=within_s)


def run_deployed(names: Sequence[str]) -> Tested:
    """Deploy models of these frameworks to a stack, from their environments."""
    command = [sys.executable, "-m", "pytest", DEPLOYED_TESTS, *SETTINGS, "-q"]
    # The first time a framework's wheels may have to be fetched, twice.
    within_s = 2 * TESTED_WITHIN_S * len(names)
    return run(command, more={DEPLOYED: " ".join(names)}, within_s=within_s)


def run_apart(name: str) -> Tested:
    """Run tests of APART, which start stacks of their own."""
    if name in FIRST and not (done := run(FIRST[name], more={}, within_s=TESTED_WITHIN_S)).passed:
        return done
    command = [sys.executable, "-m", "pytest", *APART[name], *SETTINGS, "-q"]
    return run(command, more={}, within_s=2 * TESTED_WITHIN_S)


def end_gently(process: subprocess.Popen[bytes]) -> None:
    """Have pytest end, which ends the stack that it has started; such has a group of its own."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(ENDS_WITHIN_S)


def run(command: Sequence[str], *, more: dict[str, str], within_s: float) -> Tested:
    """Run tests with all that they start; what takes longer is ended, and what it said is told."""
    from serving.container.child.kill import end_group

    # A pipe would be read until the last of their processes has ended.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **more},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        ended = ""
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            end_gently(process)
            ended = f"\nThe tests weren't done within {within_s:g} s, and were ended.\n"
        finally:
            end_group(process)
        output.seek(0)
        return Tested(passed=process.returncode == 0, output=output.read() + ended)
