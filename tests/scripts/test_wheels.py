"""Wheels of the server and of the client, built from the files that git knows."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from clipper_client import __version__
from clipper_site import ROOT
from clipper_site.stack.layout import free_port
from core.version import VERSION
from tests.interpreter import run_python

# Folders whose files all belong into the server's wheel, by where they are in it.
APP = "clipper_server/app"
PACKAGES = ("core", "registry", "selection", "serving", "console", "clipper_site")
SHIPPED = {
    **{f"{name}/": f"{APP}/{name}/" for name in (*PACKAGES, "templates", "static")},
    "clipper_server/": "clipper_server/",
}


def tracked() -> list[str]:
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT)
    return [name for name in listed.decode().splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels") / "checkout"
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def build(project: Path) -> zipfile.ZipFile:
    """Build a wheel as `python -m build` does, with what is installed here."""
    options = ("--no-isolation", "--outdir", str(project / "dist"))
    done = run_python("-m", "build", *options, str(project))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = (project / "dist").glob("*.whl")
    return zipfile.ZipFile(wheel)


def metadata(wheel: zipfile.ZipFile) -> dict[str, list[str]]:
    (name,) = (each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
    found = HeaderParser().parsestr(wheel.read(name).decode())
    return {key: found.get_all(key, []) for key in ("Name", "Version", "Requires-Dist")}


def test_the_server_s_wheel_has_all_that_runs(checkout: Path) -> None:
    with build(checkout) as wheel:
        said, names = metadata(wheel), set(wheel.namelist())
        (sbom,) = (name for name in names if ".dist-info/sboms/" in name)
        components = {
            f"{c['name']}=={c['version']}" for c in json.loads(wheel.read(sbom))["components"]
        }
    assert (said["Name"], said["Version"]) == (["clipper-server"], [VERSION])
    assert any(line.startswith("django==") for line in said["Requires-Dist"])
    wanted = {
        inside + name.removeprefix(folder)
        for name in tracked()
        for folder, inside in SHIPPED.items()
        if name.startswith(folder)
    }
    assert wanted <= names
    assert f"clipper-client=={VERSION}" in said["Requires-Dist"]
    assert any(line.startswith("boto3") and "s3" in line for line in said["Requires-Dist"])
    assert components == {pin.partition(" ")[0] for pin in pins("requirements")}
    # No general name, such as core, gets into site-packages.
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"clipper_server"}


@pytest.mark.long
@pytest.mark.stack
def test_installed_wheels_answer_by_one_command_from_any_folder(
    checkout: Path, tmp_path: Path
) -> None:
    for project in (checkout, checkout / "clients/python"):
        with build(project) as wheel:
            wheel.extractall(tmp_path / "site")
    port, var = free_port(), tmp_path / "elsewhere/var"
    var.parent.mkdir()
    command = [sys.executable, "-P", "-m", "clipper_client"]
    env = {"PYTHONPATH": str(tmp_path / "site"), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    up = subprocess.Popen(
        [*command, "up", f"--port={port}", "--no-demo"], cwd=var.parent, env=env, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert up.stdout is not None
        said = ""
        while "Ctrl-C stops everything" not in said:
            line = up.stdout.readline()
            assert line, said
            said += line
        assert f"Clipper is ready: http://127.0.0.1:{port}" in said
        answered = httpx.get(f"http://127.0.0.1:{port}/health/ready").json()
        status = subprocess.run(
            [*command, "manage", "--var", str(var), "status"], env=env, cwd=tmp_path, text=True,
            capture_output=True, check=True,
        )  # fmt: skip
        backup = tmp_path / "backup"
        for name, folder in (("backup", var), ("restore", tmp_path / "b")):
            words = [*command, name, "--var", str(folder), str(backup)]
            subprocess.run(words, env=env, cwd=tmp_path, timeout=120, check=True)
    finally:
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=60)
    assert answered["ready"] is True
    assert status.stdout.startswith("Control\n  last round")
    assert up.returncode == 0
    assert (tmp_path / "b/clipper.sqlite3").exists()


@pytest.mark.long
@pytest.mark.parametrize("project", [".", "clients/python"])
def test_a_wheel_is_the_same_each_time(checkout: Path, project: str) -> None:
    made = []
    for _ in range(2):
        with build(checkout / project) as wheel:
            assert wheel.filename is not None
            made.append(Path(wheel.filename).read_bytes())
    assert made[0] == made[1]


def test_the_client_s_wheel_has_its_command_and_the_server_s_version(checkout: Path) -> None:
    with build(checkout / "clients/python") as wheel:
        said, names = metadata(wheel), set(wheel.namelist())
    assert (said["Name"], said["Version"]) == (["clipper-client"], [__version__])
    assert __version__ == VERSION
    wanted = {
        name.removeprefix("clients/python/src/")
        for name in tracked()
        if name.startswith("clients/python/src/clipper_client/")
    }
    assert wanted <= names


def pins(name: str) -> list[str]:
    """Return the lines of locked requirements: each a package, its version and its hashes."""
    locked = (ROOT / f"{name}.txt").read_text().replace("\\\n", " ").splitlines()
    return [line for line in locked if line and not line.startswith("#")]


def test_every_requirement_is_locked_with_its_hashes() -> None:
    for kind in ("", "-docs", "-s3", "-build", "-dev"):
        name = f"requirements{kind}"
        assert all("==" in line and "--hash=sha256:" in line for line in pins(name))
        for line in (ROOT / f"{name}.in").read_text().splitlines():
            wanted = line.partition("#")[0].partition(";")[0].strip()
            if wanted and not wanted.startswith("-r"):
                project, _, release = wanted.partition("==")
                pin = f"{project.partition('[')[0]}=={release}"
                assert any(line.startswith(f"{pin} ") for line in pins(name)), wanted


def test_a_wheel_with_one_changed_byte_is_not_installed(checkout: Path, tmp_path: Path) -> None:
    with build(checkout / "clients/python") as built:
        assert built.filename is not None
        wheel = Path(shutil.copy(built.filename, tmp_path))
    digest = sha256(wheel.read_bytes()).hexdigest()
    wanted = tmp_path / "wanted.txt"
    wanted.write_text(f"clipper-client=={VERSION} --hash=sha256:{digest}\n")
    options = ("--no-deps", "--no-index", f"--find-links={tmp_path}", f"--target={tmp_path}/site")
    install = ("-m", "pip", "install", *options, "--require-hashes", f"--requirement={wanted}")
    assert run_python(*install).returncode == 0
    shutil.rmtree(tmp_path / "site")
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)
    refused = run_python(*install)
    assert refused.returncode != 0
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    assert not (tmp_path / "site").exists()
