"""Wheels of nothing, made in a moment, so that no test asks an index."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import distribution
from pathlib import Path

import pytest

from registry.versions.package_requirements import parse
from serving.container.failures.container_errors import EnvironmentFailed
from serving.environments.rules import Rules
from serving.environments.spec import EnvironmentSpec, stack_python
from serving.environments.store import Environments
from tests.environment import FOLDER

ROOT = Path(__file__).resolve().parents[3]
# What uv has found out of this host's Pythons; wheels are kept there by the folder they come from.
CACHE = Path(FOLDER) / "uv-cache"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {}\n"


def make_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    requires: Iterable[str] = (),
    files: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
) -> Path:
    """Write a wheel of one module, which says its version."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    content = {f"{name}.py": f"__version__ = {version!r}\n", **(files or {})}
    content |= {f"{info}/METADATA": metadata, f"{info}/WHEEL": WHEEL.format(tag)}
    rows = [f"{path},{_digest(text)},{len(text.encode())}" for path, text in content.items()]
    content[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for inner, text in content.items():
            wheel.writestr(inner, text)
    return path


def wheelhouse(folder: Path) -> Path:
    """A folder with wheels of what every environment has, which hold nothing of it."""
    for name, version in (("msgspec", "0.20.0"), ("numpy", "2.0.0"), ("pysimdjson", "7.0.2")):
        make_wheel(folder, name, version)
    return folder


def offline(folder: Path, **other: object) -> Rules:
    """Rules that take packages from `folder`/wheels alone."""
    wheels = wheelhouse(folder / "wheels")
    known = {"wheelhouse": str(wheels), "no_index": True, "cache": CACHE}
    return Rules(**{**known, **other})  # type: ignore[arg-type]  # each test knows its own


def needs(text: str, *, python: str = "") -> EnvironmentSpec:
    return EnvironmentSpec(requirements=parse(text), python=python or stack_python())


# Builds one, and says how far it is and what came of it.
BUILDER = """
import json, sys
from pathlib import Path
from serving.environments.rules import Rules
from serving.environments.store import Environments
from tests.serving.environments.wheels import needs

root, wheels, cache = map(Path, sys.argv[1:])
rules = Rules(wheelhouse=str(wheels), no_index=True, cache=cache)
held = Environments(root, rules=rules).prepare(
    needs("toaster"), meanwhile=lambda progress: print(json.dumps(progress), flush=True)
)
print(json.dumps([str(held.folder), held.built]))
"""


def start_builder(folder: Path, *, cache: Path) -> subprocess.Popen[str]:
    """Build the environment of "toaster" in a process of its own."""
    given = [folder / "environments", folder / "wheels", cache]
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, *map(str, given)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def refusal(environments: Environments, text: str) -> str:
    with pytest.raises(EnvironmentFailed) as refused:
        environments.prepare(needs(text))
    return str(refused.value)


def _digest(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"


def repack(folder: Path, name: str) -> Path:
    """Write a wheel of a package as it is installed here, for what has to run."""
    package = distribution(name)
    folder.mkdir(parents=True, exist_ok=True)
    tags = [
        line.removeprefix("Tag: ")
        for line in (package.read_text("WHEEL") or "").splitlines()
        if line.startswith("Tag: ")
    ]
    python, abi = tags[0].split("-")[:2]
    platforms = ".".join(dict.fromkeys(tag.split("-")[2] for tag in tags))
    normal = package.metadata["Name"].replace("-", "_")
    path = folder / f"{normal}-{package.version}-{python}-{abi}-{platforms}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in package.files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                wheel.write(str(package.locate_file(file)), str(file))
    return path
