"""Python: a class with pred_batch, an instance of one, or a function, as a zip of its source."""

from __future__ import annotations

import ast
import inspect
import pickle
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clipper_client.errors import UNSUPPORTED_MODEL, ClipperError
from clipper_client.frameworks.base import Framework, Saved, Saving
from clipper_client.packing import LEFT_OUT, zipped
from clipper_client.requirements import distributions_of
from clipper_client.sources import (
    MAIN,
    extract,
    imported_in,
    is_local,
    package_of,
    pickled_modules,
)

ENTRY = "predictor.py"
# The server makes one Predictor, and gives its constructor these by their names, as far as it takes
# them: the folder that the artifact was unpacked into, and the device.
GIVEN = ("path", "device")
LAMBDA = (lambda: None).__name__
CLASS = "from {module} import {name} as Predictor\n"
FUNCTION = """
from {module} import {name} as _function

class Predictor:
    def __init__(self, path):
        pass

    def pred_batch(self, inputs):
        return _function(inputs)
"""
INSTANCE = """
import pickle
from pathlib import Path

import {module}

class Predictor:
    def __init__(self, path):
        with (Path(path) / "state.pickle").open("rb") as file:
            state = pickle.load(file)
        self._model = object.__new__({module}.{name})
        self._model.__dict__.update(state)
        self.__dict__.update({{k: state[k] for k in ("n_features",) if k in state}})

    def pred_batch(self, inputs):
        return self._model.pred_batch(inputs)

    def warm_up(self):
        warm_up = getattr(self._model, "warm_up", None)
        if warm_up is not None:
            warm_up()
"""
VALUES = """
import pickle as _pickle
from pathlib import Path as _Path

with (_Path(__file__).parent / "values.pickle").open("rb") as _file:
    globals().update(_pickle.load(_file))
"""


def _is_python(model: Any) -> bool:
    return callable(getattr(model, "pred_batch", None)) or inspect.isfunction(model)


def _save(model: Any, folder: Path, saving: Saving) -> Saved:
    contents = folder / "contents"
    contents.mkdir()
    code = model if isinstance(model, type) or inspect.isfunction(model) else type(model)
    module, name = code.__module__, code.__qualname__
    if name.endswith(LAMBDA):
        raise _refused("Expected a function with a name, got a lambda: define it with def.")
    if "." in name:
        raise _refused(f"Expected a class or function at the top of its module, got {name}.")
    if isinstance(model, type):
        _check_constructor(model)
    if module == MAIN:
        module, imported = "model_source", _extracted(name, to=contents / "model_source.py")
    else:
        imported = _copied(sys.modules[module], to=contents)
    entry = _entry(model, module=module, name=name, contents=contents)
    pickled = {name for file in contents.glob("*.pickle") for name in pickled_modules(file)}
    imported = _brought({*imported, *pickled} - {MAIN, module.partition(".")[0]}, to=contents)
    (contents / ENTRY).write_text(entry, "utf-8")
    return Saved(
        path=zipped(contents, to=folder / "model.zip"),
        runtime="python",
        requirements=tuple(distributions_of(imported)),
    )


def _check_constructor(model: type) -> None:
    """Raise ClipperError if it needs something that the server can't give it."""
    for parameter in inspect.signature(model).parameters.values():
        optional = parameter.default is not parameter.empty or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if not optional and parameter.name.lstrip("_") not in GIVEN:
            raise _refused(
                f"Expected a constructor that takes {' and '.join(GIVEN)} at most, got one of "
                f"{model.__name__} with {parameter.name!r}: give it a default, or deploy an "
                f"instance, {model.__name__}({parameter.name}=...)."
            )


def _refused(message: str) -> ClipperError:
    return ClipperError(message, code=UNSUPPORTED_MODEL)


def _entry(model: Any, *, module: str, name: str, contents: Path) -> str:
    if inspect.isfunction(model):
        return FUNCTION.format(module=module, name=name)
    if isinstance(model, type):
        return CLASS.format(module=module, name=name)
    (contents / "state.pickle").write_bytes(_pickled(vars(model), of=name))
    return INSTANCE.format(module=module, name=name)


def _extracted(name: str, *, to: Path) -> Iterable[str]:
    """Write what the script or notebook defines; returns the modules that it imports."""
    found = extract(name)
    values = ""
    if found.values:
        (to.parent / "values.pickle").write_bytes(_pickled(found.values, of=name))
        values = VALUES
    to.write_text(found.future + values + found.code, encoding="utf-8")
    return found.modules


def _pickled(values: dict[str, Any], *, of: str) -> bytes:
    """Return the values as a pickle that can be read elsewhere."""
    try:
        pickled = pickle.dumps(values)
    except Exception as error:  # whatever a value's own code raises
        raise ClipperError(
            f"What {of} refers to can't be sent: {error}.", code=UNSUPPORTED_MODEL
        ) from error
    if MAIN.encode() in pickled:
        raise ClipperError(
            f"{of} holds objects of classes that this script defines ({', '.join(values)}): "
            "put those classes into a module.",
            code=UNSUPPORTED_MODEL,
        )
    return pickled


def _brought(names: Iterable[str], *, to: Path) -> set[str]:
    """Copy those of these modules that no index has, and what they import; return the others."""
    waiting, seen, others = [*names], set(names), set()
    while waiting:
        name = waiting.pop()
        if not is_local(name):
            others.add(name)
            continue
        found = set(_copied(sys.modules[name], to=to)) - seen
        seen |= found
        waiting += found
    return others


def _copied(module: Any, *, to: Path) -> Iterable[str]:
    """Copy the module or its whole package; returns the modules that it imports."""
    source = package_of(module)
    if source.is_dir():
        ignored = shutil.ignore_patterns(*LEFT_OUT)
        shutil.copytree(source, to / source.name, ignore=ignored)
    else:
        shutil.copy(source, to / source.name)
    files = to.rglob("*.py")
    found = {name for file in files for name in imported_in(ast.parse(file.read_bytes()))}
    return found - {source.stem}


FRAMEWORK = Framework(name="python", recognises=_is_python, save=_save)
