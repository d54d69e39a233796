"""An environment is built whole or not at all, whatever befalls disk, index and processes."""

import json
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from serving.container.child.model_process import ModelEnvironment
from serving.container.failures.container_errors import EnvironmentFailed
from serving.container.sandbox.confined import Confinement, confined_command, has_landlock
from serving.environments.store import STAGING, Environments
from tests.serving.environments.wheels import (
    make_wheel,
    needs,
    offline,
    refusal,
    start_builder,
)
from tests.small_disk import small_disk


def in_environment(program: list[str], *, write: Path, environment: ModelEnvironment) -> list[str]:
    return confined_command(
        program,
        Confinement(write=[write], read=[environment.folder, environment.prefix]),
        other_python=environment.python,
    )


def test_a_full_disk_fails_the_build_and_one_with_room_again_does_it(tmp_path: Path) -> None:
    rules = offline(tmp_path)
    large = {"toaster_data.txt": "crumb\n" * 500_000}
    make_wheel(tmp_path / "wheels", "toaster", "1.5", files=large)
    with small_disk(megabytes=8) as disk:
        environments = Environments(disk.path / "environments", rules=rules)
        environments.root.mkdir()
        disk.fill()
        said = refusal(environments, "toaster")
        assert said.startswith("its environment could not be built: ")
        assert "No space left on device" in said
        assert list(environments.kept()) == [] or [kept.error for kept in environments.kept()]
        disk.free()
        held = environments.prepare(needs("toaster"), afresh=True)
        assert held.built
        assert list(environments.root.glob(f"{STAGING}*")) == []
        held.release()


def test_an_index_that_never_answers_costs_no_more_than_the_time_there_is(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        rules = offline(tmp_path, no_index=False, index_url=url, build_s=2.0)
        environments = Environments(tmp_path / "environments", rules=rules)
        assert "it took longer than 2 s" in refusal(environments, "nobody-has-this")
    assert list(environments.root.glob(f"{STAGING}*")) == []


def test_processes_that_want_one_at_the_same_moment_build_it_once(tmp_path: Path) -> None:
    rules = offline(tmp_path)
    make_wheel(tmp_path / "wheels", "toaster")
    builders = [start_builder(tmp_path, cache=tmp_path / "cache") for _ in range(3)]
    told = [json.loads(builder.communicate()[0].splitlines()[-1]) for builder in builders]
    folders, built = zip(*told, strict=True)
    assert len(set(folders)) == 1
    assert sorted(built) != [False, False, False]
    log = Environments(tmp_path / "environments", rules=rules).log_of(Path(folders[0]).name)
    assert log.count("+ toaster==1.0") == 1


def test_a_package_that_lies_about_its_path_writes_nowhere_else(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "toaster", files={"../../../../../../escaped.txt": "out of it"})
    environments = Environments(tmp_path / "environments", rules=offline(tmp_path))
    with suppress(EnvironmentFailed):  # whether uv refuses it all or leaves that file out
        environments.prepare(needs("toaster")).release()
    assert list(tmp_path.rglob("escaped.txt")) == []


# What Python runs of a package before anything else, and what the package says of it.
AT_START = """
import sys
try:
    sys.stolen = open({!r}).read()
except OSError as error:
    sys.stolen = error
"""
TELLS = "import sys; print(repr(sys.stolen))"


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack's folder with a secret."""
    if not has_landlock():
        pytest.skip("this kernel keeps no files from a program")
    var = tmp_path / "var"
    var.mkdir()
    (var / "secret_key").write_text("hunter2")
    monkeypatch.setenv("CLIPPER_VAR", str(var))
    (tmp_path / "home").mkdir()
    return var


def test_what_a_package_runs_when_python_starts_finds_no_secret_either(
    tmp_path: Path, var: Path
) -> None:
    files = {
        "toaster.py": TELLS,
        "toaster_start.py": AT_START.format(str(var / "secret_key")),
        "toaster.pth": "import toaster_start\n",
    }
    make_wheel(tmp_path / "wheels", "toaster", files=files)
    held = Environments(var / "environments", rules=offline(tmp_path)).prepare(needs("toaster"))
    python = str(held.of_model.python)
    said = subprocess.check_output([python, "-m", "toaster"], text=True)
    assert said == "'hunter2'\n"  # where nothing confines it, it does

    home = tmp_path / "home"
    command = in_environment(["-m", "toaster"], write=home, environment=held.of_model)
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    # Landlock refuses it, or a mount covers it.
    assert "PermissionError" in told.stdout or "FileNotFoundError" in told.stdout
    assert "hunter2" not in told.stdout + told.stderr


def test_what_a_package_puts_in_the_place_of_python_finds_no_secret_either(
    tmp_path: Path, var: Path
) -> None:
    script = f"#!/bin/sh\ncat {var / 'secret_key'}\n"
    wheel = {
        "toaster-1.0.data/scripts/python": script,
        "toaster-1.0.data/data/environment.json": "{}",
        "toaster-1.0.data/data/pyvenv.cfg": f"home = {var}/bin\n",
    }
    make_wheel(tmp_path / "wheels", "toaster", files=wheel)
    environments = Environments(var / "environments", rules=offline(tmp_path))
    with suppress(EnvironmentFailed):  # whether uv, or the check of what it made, refuses it
        held = environments.prepare(needs("toaster"))
        home = tmp_path / "home"
        command = in_environment(["-m", "this"], write=home, environment=held.of_model)
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "hunter2" not in told.stdout + told.stderr
    assert "hunter2" not in environments.log_of(needs("toaster").digest)
