"""Requirements of a model as installed here: `name==version` for each distribution."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

# To find out which distributions modules come from takes a second: these are met most often.
RENAMED = {"sklearn": "scikit-learn", "yaml": "PyYAML", "PIL": "pillow"}
# Files of the first three are made without them, and read by any release: theirs may be the newest.
# A frame of polars is one of pandas on the server.
LOADERS = ("onnxruntime", "lightgbm", "catboost", "pandas")
# A build of PyTorch that needs no GPU and brings nothing for one.
CPU_BUILD = "cpu"
_LOCAL = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^+\s;]+\+\S+)$")
_RELEASE = re.compile(r"\d+(?:\.\d+)*")
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
    """Return a distribution with its version; None where it isn't installed here, nor needed to
    load what was made without it.
    """
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
    public, _, local = installed.partition("+")
    if not local or _RELEASE.fullmatch(public):
        # Any index has its own build of a release such as 2.9.0+cu126; a later 2.9.1 may be only
        # where the builds are that take a GPU. PyPI's own 2.9.0 of PyTorch brings 3 GB for one.
        return f"{name}=={installed if local == CPU_BUILD else public}"
    # A build before a release, as 2.10.0a0+git1a2b, is on no index: a near one has to do.
    release = _RELEASE.match(public)
    major, minor, *_ = [*(release[0] if release else "0").split("."), "0"]
    return f"{name}>={major}.{minor},<{major}.{int(minor) + 1}"


def packages_in(model: Any) -> Iterator[str]:
    """Yield the distributions of all estimators inside of one, by their parameters."""
    parameters = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    seen = {root for value in (model, *parameters.values()) for root in _roots(value)}
    yield from distributions_of(seen)


def distributions_of(modules: Iterable[str]) -> Iterator[str]:
    """Yield the distributions that modules come from; those of the standard library from none."""
    for module in sorted(set(modules) - sys.stdlib_module_names):
        name = RENAMED.get(module, module)
        yield from [name] if _is_installed(name) else _distributions().get(module, [])[:1]


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _roots(value: Any) -> Iterator[str]:
    """Yield the top-level modules of a value's class, and of what it holds."""
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
