"""Wheels of the server and of the client, built from the files that git knows."""

import shutil
import subprocess
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from clipper_client import __version__
from clipper_site.stack.layout import ROOT
from core.version import VERSION
from tests.interpreter import run_python

# Folders whose files all belong into the server's wheel, by where they are in it.
SHIPPED = {
    **{f"{name}/": f"{name}/" for name in ("core", "registry", "selection", "serving", "console")},
    "clipper_site/": "clipper_site/",
    "templates/": "clipper_site/templates/",
    "static/": "clipper_site/static/",
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


def test_the_server_s_wheel_has_all_that_runs_and_starts_from_anywhere(
    checkout: Path, tmp_path: Path
) -> None:
    with build(checkout) as wheel:
        said, names = metadata(wheel), set(wheel.namelist())
        wheel.extractall(tmp_path / "site")
    assert (said["Name"], said["Version"]) == (["clipper-server"], [VERSION])
    assert any(line.startswith("django==") for line in said["Requires-Dist"])
    wanted = {
        inside + name.removeprefix(folder)
        for name in tracked()
        for folder, inside in SHIPPED.items()
        if name.startswith(folder)
    }
    assert wanted <= names
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {
        *("core", "registry", "selection", "serving", "console", "clipper_site")
    }
    (tmp_path / "elsewhere").mkdir()
    script = """
from django import setup
setup()
from django.conf import settings
from django.contrib.staticfiles.finders import find
from django.core.management import call_command
from django.template.loader import get_template
call_command("migrate", verbosity=0)
print(get_template("console/release.html").origin.name)
print(find("console/console.css"))
print(settings.CLIPPER_VAR)
"""
    env = {"PYTHONPATH": str(tmp_path / "site"), "DJANGO_SETTINGS_MODULE": "clipper_site.settings"}
    env |= {"DJANGO_SECRET_KEY": "k" * 50, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    (tmp_path / "elsewhere/var").mkdir()
    done = run_python("-P", "-c", script, cwd=tmp_path / "elsewhere", env=env)
    site = tmp_path / "site/clipper_site"
    assert done.stdout.splitlines() == [
        str(site / "templates/console/release.html"),
        str(site / "static/console/console.css"),
        str(tmp_path / "elsewhere/var"),
    ], done.stderr


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


def test_every_requirement_is_locked_with_its_hashes() -> None:
    for name in ("requirements", "requirements-docs", "requirements-s3", "requirements-dev"):
        locked = (ROOT / f"{name}.txt").read_text().replace("\\\n", " ").splitlines()
        pins = [line for line in locked if line and not line.startswith("#")]
        assert all("==" in line and "--hash=sha256:" in line for line in pins)
        for line in (ROOT / f"{name}.in").read_text().splitlines():
            wanted = line.partition("#")[0].partition(";")[0].strip()
            if wanted and not wanted.startswith("-r"):
                project, _, release = wanted.partition("==")
                pin = f"{project.partition('[')[0]}=={release}"
                assert any(locked.startswith(f"{pin} ") for locked in pins), wanted
