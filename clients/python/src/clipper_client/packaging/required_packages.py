"""Requirements of a model: as installed here, or as its files say."""

import re
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from email.parser import HeaderParser
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import yaml

from clipper_client.clipper_error import unsupported

# A requirement of an extra, which nobody has asked for.
_EXTRA = re.compile(r";.*\bextra\s*==")
# Files of the first three are made without them, and read by any release: theirs may be the newest.
# A frame of polars is one of pandas on the server.
LOADERS = ("onnxruntime", "lightgbm", "catboost", "pandas")
# A build of PyTorch that needs no GPU and brings nothing for one.
CPU_BUILD = "cpu"
_LOCAL = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^+\s;]+\+\S+)$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


def captured(names: Iterable[str]) -> str:
    """Return a requirements.txt: names pinned to what is installed here, lines as they are."""
    lines = {}
    for name in names:
        line = pinned(name) if _NAME.match(name) else _available(name)
        if line is not None:
            lines[_key(line)] = line
    return "".join(f"{lines[key]}\n" for key in sorted(lines))


def _available(line: str) -> str:
    """Return a line that somebody wrote; a build of their own as what an index may have."""
    found = _LOCAL.match(line)
    return line if found is None else pinned_exactly(found["name"], found["version"])


def pinned(name: str) -> str | None:
    """Return a distribution with its version; None if it isn't installed here, nor needed there."""
    try:
        installed = version(name)
    except PackageNotFoundError:
        # The module may come from a distribution of another name, as xgboost from xgboost-cpu.
        others = _distributions().get(name.replace("-", "_"), [])
        if not others:
            return name if name in LOADERS else None
        return pinned_exactly(others[0], version(others[0]))
    return pinned_exactly(name, installed)


def pinned_exactly(name: str, installed: str) -> str:
    # An index has its own build of a release such as 2.9.0+cu126; PyPI's of PyTorch brings 3 GB for
    # a GPU, which a build for CPUs doesn't need.
    public, _, local = installed.partition("+")
    return f"{name}=={installed if local == CPU_BUILD else public}"


def packages_in(model: Any) -> Iterator[str]:
    """Yield the distributions of all estimators inside of one, by their parameters."""
    parameters = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    seen = {root for value in (model, *parameters.values()) for root in _roots(value)}
    yield from distributions_of(seen)


def distributions_of(modules: Iterable[str]) -> Iterator[str]:
    """Yield the distributions that modules come from; those of the standard library from none."""
    for module in sorted(set(modules) - sys.stdlib_module_names):
        yield from _distributions().get(module, [])[:1]


def _roots(value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _roots(item)
    elif isinstance(value, Mapping):
        yield from _roots(list(value.values()))
    else:
        kind = value if isinstance(value, type) else type(value)
        yield kind.__module__.partition(".")[0]


def _key(line: str) -> str:
    name = re.split(r"[<>=!~;\[ @]", line, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def required_by(path: Path) -> tuple[str | None, str]:
    """Return the requirements that a folder or wheel states, and its versions of Python."""
    try:
        if path.is_dir():
            return _of_folder(path)
        return _of_wheel(path) if zipfile.is_zipfile(path) else (None, "")
    except ValueError as error:
        raise unsupported(f"Can't read the requirements in {path.name}: {error}") from error


def pip_part(conda: Path) -> list[str]:
    """Return what pip is to install of a `conda.yaml`, such as MLflow's."""
    found = yaml.safe_load(conda.read_text(encoding="utf-8")) or {}
    parts = [part for part in found.get("dependencies", []) if isinstance(part, dict)]
    return [str(line) for part in parts for line in part.get("pip", [])]


def _of_folder(folder: Path) -> tuple[str | None, str]:
    listed, project = folder / "requirements.txt", folder / "pyproject.toml"
    found = {}
    if project.is_file():
        found = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
    lines = listed.read_text(encoding="utf-8") if listed.is_file() else None
    required = _lines(found.get("dependencies", [])) if lines is None else lines
    return required, str(found.get("requires-python", ""))


def _of_wheel(wheel: Path) -> tuple[str | None, str]:
    with zipfile.ZipFile(wheel) as packed:
        found = [name for name in packed.namelist() if name.endswith(".dist-info/METADATA")]
        if not found:
            return None, ""
        metadata = HeaderParser().parsestr(packed.read(found[0]).decode())
    required = [line for line in metadata.get_all("Requires-Dist", []) if not _EXTRA.search(line)]
    return _lines(required), str(metadata.get("Requires-Python", ""))


def _lines(required: list[str]) -> str | None:
    return "".join(f"{line}\n" for line in required) if required else None
