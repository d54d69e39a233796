"""Environment of the stack's processes and of a person's shell."""

import re
import stat
import subprocess
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path

import pytest

from clipper_site.stack.environment import (
    CONTROL_PASSWORD,
    cpu_slots,
    environment_of,
    environment_of_running,
    without_another_stack,
    write_environment_script,
)
from clipper_site.stack.layout import (
    Layout,
    keep_secret,
    layout_of,
    make_folders,
    remove_run_dir,
)
from clipper_site.stack.processes import MARK
from clipper_site.stack.supervision import CONFIG, STOP_SECONDS

SERVER = Path("/usr/bin/redis-server")


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    layout = layout_of(tmp_path / "a var with 'quotes'", port=8123)
    make_folders(layout)
    yield layout
    remove_run_dir(layout)


def test_it_holds_every_name_that_supervisord_conf_reads(layout: Layout) -> None:
    names = set(re.findall(r"%\(ENV_(\w+)\)s", CONFIG.read_text()))
    environment = environment_of(layout, secret_key="k", redis_server=SERVER, base={})

    assert names <= set(environment)


def test_a_redis_of_theirs_stays_theirs(layout: Layout) -> None:
    base = {"REDIS_URL": "redis://:password@redis.example:6379/0"}
    environment = environment_of(layout, secret_key="k", redis_server=None, base=base)

    assert environment["REDIS_URL"] == base["REDIS_URL"]
    assert environment["CLIPPER_REDIS_OURS"] == "false"
    assert "password" not in environment["CLIPPER_REDIS_SERVER"]


def test_a_shell_with_another_stack_s_script_starts_a_stack_of_its_own(layout: Layout) -> None:
    shell = environment_of(layout, secret_key="theirs", redis_server=SERVER, base={"HOME": "/"})
    base = without_another_stack(shell)

    assert "REDIS_URL" not in base
    assert "DJANGO_SECRET_KEY" not in base
    assert base["HOME"] == "/"


@pytest.mark.parametrize(
    ("slots", "worker"), [(None, "false"), ("", "false"), ("0", "false"), ("2", "true")]
)
def test_a_gpu_worker_is_started_where_it_has_slots(
    layout: Layout, slots: str | None, worker: str
) -> None:
    base = {} if slots is None else {"CLIPPER_GPU_SLOTS": slots}
    environment = environment_of(layout, secret_key="k", redis_server=SERVER, base=base)

    assert environment["CLIPPER_GPU_WORKER"] == worker
    assert environment["CLIPPER_GPU_SLOTS"] == (slots or "0")


def test_the_script_brings_a_shell_to_the_same_stack(layout: Layout) -> None:
    key = keep_secret(layout.secret_key)
    environment = environment_of(layout, secret_key=key, redis_server=SERVER, base={})
    write_environment_script(layout, environment=environment)
    shell = subprocess.run(
        ["/bin/sh", "-c", '. "$0"; /usr/bin/env -0', layout.environment_script],
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    seen = dict(line.split("=", 1) for line in shell.stdout.split("\0") if line)

    assert {name: seen.get(name) for name in environment if name != MARK} == {
        name: value for name, value in environment.items() if name != MARK
    }
    # Else the next start would take that shell's commands for a crash's leftovers.
    assert MARK not in seen


def test_the_script_is_private_and_holds_no_key(layout: Layout) -> None:
    environment = environment_of(layout, secret_key="very-secret", redis_server=SERVER, base={})
    write_environment_script(layout, environment=environment)

    assert stat.S_IMODE(layout.environment_script.stat().st_mode) == 0o600
    script = layout.environment_script.read_text()
    assert "very-secret" not in script
    assert layout.redis_password.read_text() not in script
    assert layout.control_password.read_text() not in script


def test_supervisord_asks_for_the_stack_s_password() -> None:
    config = RawConfigParser()
    config.read(CONFIG)
    for section in ("unix_http_server", "supervisorctl"):
        assert config[section]["password"] == f"%(ENV_{CONTROL_PASSWORD})s"


def test_a_restart_goes_by_the_settings_of_the_stack_alone(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = {"CLIPPER_CPU_SLOTS": "3"}
    environment = environment_of(layout, secret_key="theirs", redis_server=SERVER, base=base)
    write_environment_script(layout, environment=environment)
    shell = {"CLIPPER_CPU_SLOTS": "4", "DATABASE_URL": "postgres://another", "LANG": "C"}
    for name, value in (shell | {"DJANGO_SECRET_KEY": "theirs"}).items():
        monkeypatch.setenv(name, value)
    stack = environment_of_running(layout.environment_script)
    assert "DATABASE_URL" not in stack
    assert (stack["CLIPPER_CPU_SLOTS"], stack["LANG"]) == ("3", "C")
    # Given to `make run`, it is in no file.
    assert not layout.secret_key.exists()
    assert stack["DJANGO_SECRET_KEY"] == "theirs"


@pytest.mark.parametrize(
    ("gib", "cores", "slots"),
    [(1, 1, 8), (2, 8, 8), (4, 2, 16), (24, 2, 16), (16, 4, 32), (8, 16, 32), (256, 64, 64)],
)
def test_slots_follow_memory_and_cores(gib: int, cores: int, slots: int) -> None:
    assert cpu_slots(memory=gib << 30, cores=cores) == slots


def test_the_launcher_waits_as_long_as_all_programs_may_take_to_stop() -> None:
    programs = RawConfigParser(inline_comment_prefixes=";")
    programs.read(CONFIG)
    waits = [
        programs.getint(section, "stopwaitsecs")
        for section in programs.sections()
        if section.startswith("program:")
    ]
    assert len(waits) == 8
    assert sum(waits) < STOP_SECONDS
