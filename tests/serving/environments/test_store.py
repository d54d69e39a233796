"""Environments are built once on a host, shared, bounded, and never half there."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.file_lock import FileLock
from serving.container.failures.container_errors import EnvironmentFailed
from serving.environments.rules import Rules
from serving.environments.store import MADE_OF, PAUSE_S, STAGING, Environments
from tests.long import beginning_of
from tests.serving.environments.wheels import (
    ROOT,
    make_wheel,
    needs,
    offline,
    refusal,
    start_builder,
)

CPU_BUILD = "torch==2.13.0+cpu"


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(tmp_path / "environments", rules=offline(tmp_path))


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    make_wheel(tmp_path / "wheels", "toaster", "1.5")
    make_wheel(tmp_path / "wheels", "toaster", "1.9")
    return tmp_path / "wheels"


def built(environments: Environments, text: str) -> Path:
    """Build it and let go of it."""
    environment = environments.prepare(needs(text))
    environment.release()
    return environment.folder


def version_in(folder: Path, module: str = "toaster") -> str:
    program = f"import {module}; print({module}.__version__)"
    command = [str(folder / "bin" / "python"), "-I", "-c", program]
    return subprocess.check_output(command, text=True).strip()


def digests(environments: Environments) -> list[str]:
    return [kept.digest for kept in environments.kept() if not kept.error]


def left_behind(environments: Environments) -> list[Path]:
    return list(environments.root.glob(f"{STAGING}*"))


def test_two_versions_of_one_package_lie_side_by_side(
    environments: Environments, wheels: Path
) -> None:
    old, new = built(environments, "toaster==1.5"), built(environments, "toaster>1.5")
    assert (version_in(old), version_in(new)) == ("1.5", "1.9")
    assert left_behind(environments) == []
    kept = {kept.made_of.requirements: kept.made_of for kept in environments.kept()}
    made_of = kept["toaster==1.5",]
    assert "toaster==1.5" in made_of.packages
    assert made_of.bytes > 0


def test_what_it_holds_can_be_run_by_the_user_of_a_model(
    environments: Environments, wheels: Path
) -> None:
    """The stack makes its files for itself alone."""
    before = os.umask(0o077)
    try:
        folder = built(environments, "toaster")
    finally:
        os.umask(before)
    (module,) = folder.glob("lib/*/site-packages/toaster.py")
    assert (folder / "bin").stat().st_mode & 0o005 == 0o005
    assert module.stat().st_mode & 0o004 == 0o004
    assert environments.root.stat().st_mode & 0o077 == 0


def test_requirements_that_come_to_the_same_packages_share_one(
    environments: Environments, wheels: Path
) -> None:
    make_wheel(wheels, "oven", requires=["toaster"])
    pinned = environments.prepare(needs("toaster==1.9\noven==1.0"))
    loose = environments.prepare(needs("oven"))
    other = environments.prepare(needs("oven\ntoaster<1.9"))
    assert (pinned.built, loose.built, other.built) == (True, False, True)
    assert pinned.folder == loose.folder != other.folder
    assert version_in(other.folder) == "1.5"
    kept = {row.digest: row.specs for row in environments.kept()}
    assert needs("oven").digest in kept[pinned.folder.name]
    pinned.release()
    assert not environments.remove(pinned.folder.name)
    loose.release()
    assert environments.remove(pinned.folder.name)
    assert environments.prepare(needs("oven")).built


def test_what_it_holds_has_none_of_the_stack_s_packages(
    environments: Environments, wheels: Path
) -> None:
    python = built(environments, "toaster==1.5") / "bin" / "python"
    program = "import importlib.util as u; print(u.find_spec('django'), u.find_spec('serving'))"
    said = subprocess.check_output([str(python), "-I", "-c", program], text=True, cwd=ROOT)
    assert said.strip() == "None None"


@pytest.mark.parametrize(
    "damage", beginning_of(["half a file", "a file gone", "no word of it", "no Python"], rows=1)
)
def test_a_damaged_one_is_built_anew(environments: Environments, wheels: Path, damage: str) -> None:
    folder = built(environments, "toaster==1.5")
    module = next(folder.glob("lib/*/site-packages/toaster.py"))
    if damage == "a file gone":
        module.unlink()
    elif damage == "half a file":
        module.write_text("__ver")
    elif damage == "no word of it":
        (folder / MADE_OF).unlink()
    else:
        (folder / "bin" / "python").unlink()
        (folder / "bin" / "python").symlink_to("/nowhere/python")

    again = environments.prepare(needs("toaster==1.5"))

    assert again.built
    assert version_in(again.folder) == "1.5"
    assert left_behind(environments) == []


def test_what_can_t_be_installed_fails_in_uv_s_words_and_leaves_nothing(
    environments: Environments, wheels: Path
) -> None:
    said = refusal(environments, "toaster==7")
    assert said.startswith("its environment could not be built: No solution found")
    assert "toaster==7" in said
    assert (digests(environments), left_behind(environments)) == ([], [])
    assert "toaster==7" in environments.log_of(needs("toaster==7").digest)


def test_what_can_t_go_with_a_container_s_own_needs_says_so(
    environments: Environments, wheels: Path
) -> None:
    said = refusal(environments, "numpy==1.24")
    assert "a container itself needs msgspec<1,>=0.18.6 and numpy<3,>=1.26" in said


def test_without_a_wheel_of_what_a_container_only_wishes_for_it_is_built_all_the_same(
    environments: Environments, wheels: Path
) -> None:
    next(wheels.glob("pysimdjson*")).unlink()
    folder = built(environments, "toaster==1.5")
    assert version_in(folder) == "1.5"
    assert list(folder.glob("lib/*/site-packages/pysimdjson*")) == []


def test_sources_are_built_only_where_that_is_allowed(
    environments: Environments, tmp_path: Path, wheels: Path
) -> None:
    (tmp_path / "kettle-1.0").mkdir()
    (tmp_path / "kettle-1.0" / "setup.py").write_text("raise SystemExit('it ran')")
    shutil.make_archive(str(wheels / "kettle-1.0"), "gztar", tmp_path, "kettle-1.0")
    assert "kettle" in refusal(environments, "kettle")
    assert "it ran" not in environments.log_of(needs("kettle").digest)


def test_a_python_that_isn_t_here_is_named_with_those_that_are(environments: Environments) -> None:
    with pytest.raises(EnvironmentFailed) as refused:
        environments.prepare(needs("", python="3.12.99"))
    said = str(refused.value)
    assert "this host has no Python 3.12.99; it has " in said
    assert sys.version.split()[0] in said


def test_the_one_used_least_recently_goes_but_none_that_is_in_use_or_kept(
    tmp_path: Path, wheels: Path
) -> None:
    for name in "abcd":
        make_wheel(wheels, name)
    environments = Environments(tmp_path / "environments", rules=offline(tmp_path, most=3))
    built(environments, "a")
    held = environments.prepare(needs("b"))
    built(environments, "c")
    for age, name in enumerate("abc"):
        held_by = environments.prepare(needs(name))
        held_by.release()
        os.utime(held_by.folder / MADE_OF, (age, age))

    environments.prepare(needs("d"), keep=lambda: [needs("a").digest]).release()

    there = {kept.made_of.requirements[0] for kept in environments.kept()}
    assert there == {"a", "b", "d"}
    with pytest.raises(EnvironmentFailed, match="keeps at most 3 environments"):
        environments.prepare(needs("c"), keep=lambda: [needs("a").digest, needs("d").digest])
    held.release()
    environments.prepare(needs("c"), afresh=True).release()


def test_the_bytes_of_all_are_bounded(tmp_path: Path, wheels: Path) -> None:
    environments = Environments(tmp_path / "environments", rules=offline(tmp_path))
    first = built(environments, "toaster==1.5").name
    (kept,) = environments.kept()
    bounded = offline(tmp_path, most_bytes=int(kept.made_of.bytes * 1.5))
    small = Environments(tmp_path / "environments", rules=bounded)
    second = built(small, "toaster==1.9").name
    assert digests(small) == [second]
    with pytest.raises(EnvironmentFailed, match="of together"):
        small.prepare(needs("toaster==1.5"), keep=lambda: [needs("toaster==1.9").digest])
    assert first not in digests(small)


def test_one_that_takes_too_many_bytes_is_given_up(tmp_path: Path, wheels: Path) -> None:
    rules = offline(tmp_path, largest_bytes=100)
    said = refusal(Environments(tmp_path / "environments", rules=rules), "toaster")
    assert "it takes more than 100 bytes" in said


def test_whoever_asks_may_give_it_up_and_nothing_is_left(
    environments: Environments, wheels: Path
) -> None:
    def give_up(progress: str) -> None:
        raise KeyError(progress)

    with pytest.raises(KeyError):
        environments.prepare(needs("toaster"), meanwhile=give_up)
    assert (digests(environments), left_behind(environments)) == ([], [])
    environments.prepare(needs("toaster")).release()


def test_one_at_a_time_is_built_on_a_host(environments: Environments, wheels: Path) -> None:
    environments.root.mkdir()
    other = FileLock.take(environments.root / "slot-0.lock")
    assert other is not None
    said: list[str] = []

    def tell(progress: str) -> None:
        said.append(progress)
        other.release()

    environments.prepare(needs("toaster"), meanwhile=tell).release()
    assert said[0] == "waiting for another build on this host"


def test_a_builder_that_is_killed_leaves_nothing_that_the_next_one_trips_over(
    environments: Environments, tmp_path: Path, wheels: Path
) -> None:
    process = start_builder(tmp_path, cache=tmp_path / "cache")
    assert process.stdout is not None
    process.stdout.readline()  # uv runs
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert left_behind(environments) != []

    environment = environments.prepare(needs("toaster"))

    assert environment.built
    assert version_in(environment.folder) == "1.9"
    assert left_behind(environments) == []


def test_the_operator_s_credentials_are_in_no_word_and_no_file(
    tmp_path: Path, wheels: Path
) -> None:
    secret = "hunter2"
    rules = offline(tmp_path, no_index=False, index_url=f"http://me:{secret}@127.0.0.1:9/simple")
    environments = Environments(tmp_path / "environments", rules=rules)
    said = refusal(environments, "nobody-has-this")
    assert secret not in said
    assert "127.0.0.1:9" in said
    files = [path for path in environments.root.rglob("*") if path.is_file()]
    assert files
    assert all(secret.encode() not in path.read_bytes() for path in files)


def test_a_failed_build_is_not_tried_again_for_a_while_unless_asked_for(
    environments: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*, afresh: bool = False) -> EnvironmentFailed:
        with pytest.raises(EnvironmentFailed) as refusal:
            environments.prepare(needs("grill"), afresh=afresh)
        return refusal.value

    first, again = refused(), refused()
    assert (str(again), again.remembered) == (str(first), True)
    assert not refused(afresh=True).remembered
    later = time.time() + PAUSE_S
    monkeypatch.setattr(time, "time", lambda: later)
    assert not refused().remembered


def test_pytorch_s_build_for_cpus_is_taken_or_said_to_be_missing(
    environments: Environments, wheels: Path
) -> None:
    """A version that was trained with it isn't given the one for GPUs."""
    make_wheel(wheels, "torch", "2.13.0")
    assert "download.pytorch.org/whl/cpu, into the oper" in refusal(environments, CPU_BUILD)
    for build in ("cpu", "cu130"):
        make_wheel(wheels, "torch", f"2.13.0+{build}")
    environments.prepare(needs(f"torch\n{CPU_BUILD}"), afresh=True).release()
    (kept,) = (kept for kept in environments.kept() if not kept.error)
    assert CPU_BUILD in kept.made_of.packages


@pytest.mark.parametrize(
    "rules",
    [
        Rules(index_url="https://pypi.example.com/simple"),
        Rules(wheelhouse="/srv/wheels"),
        Rules(no_index=True),
    ],
)
def test_pytorch_s_index_is_not_asked_where_the_operator_names_another(rules: Rules) -> None:
    assert "UV_TORCH_BACKEND" not in dict(rules.variables_for([CPU_BUILD]))
    assert "UV_TORCH_BACKEND" not in dict(Rules().variables_for(["torch==2.13.0", "a==1+cpux"]))
    assert dict(Rules().variables_for([CPU_BUILD]))["UV_TORCH_BACKEND"] == "cpu"
