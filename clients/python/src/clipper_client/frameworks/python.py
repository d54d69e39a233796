"""Python: a class with pred_batch, an instance of one, or a function, as a zip of its source.

So does anything else with predict that no framework here knows, as a pickle.
"""

from __future__ import annotations

import ast
import inspect
import pickle
import shutil
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import FunctionType
from typing import IO, Any

from clipper_client.errors import UNSUPPORTED_MODEL, ClipperError, ClipperWarning
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
# The module for what comes from a script or notebook.
SOURCE = "model_source"
# The server makes one Predictor, and gives its constructor these by their names, as far as it takes
# them: the folder that the artifact was unpacked into, and the device.
GIVEN = ("path", "device")
# From this size on, values that go along without being named are told.
LARGE_BYTES = 32 << 20
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
ESTIMATOR = """
import pickle
from pathlib import Path

class Predictor:
    def __init__(self, path):
        with (Path(path) / "estimator.pickle").open("rb") as file:
            self._model = pickle.load(file)
        self._names = getattr(self._model, "feature_names_in_", None)
        self.n_features = getattr(self._model, "n_features_in_", None)

    def pred_batch(self, inputs):
        if self._names is not None and hasattr(inputs, "columns"):
            inputs = inputs[list(self._names)]
        outputs = self._model.{method}(inputs)
        return list(zip(*outputs)) if isinstance(outputs, list) else outputs
"""
VALUES = """
import pickle as _pickle
from pathlib import Path as _Path

with (_Path(__file__).parent / "values.pickle").open("rb") as _file:
    globals().update(_pickle.load(_file))
"""


def _is_python(model: Any) -> bool:
    return _is_own_code(model) or (
        callable(getattr(model, "predict", None)) and not isinstance(model, type)
    )


def _is_own_code(model: Any) -> bool:
    return callable(getattr(model, "pred_batch", None)) or inspect.isfunction(model)


def _save(model: Any, folder: Path, saving: Saving) -> Saved:
    if not _is_own_code(model):
        return save_estimator(model, folder=folder, method=saving.method)
    code = model if isinstance(model, type) or inspect.isfunction(model) else type(model)
    module, name = code.__module__, code.__qualname__
    if name.endswith(LAMBDA):
        raise _refused("Expected a function with a name, got a lambda: define it with def.")
    if "." in name:
        raise _refused(f"Expected a class or function at the top of its module, got {name}.")
    if isinstance(model, type):
        _check_constructor(model)
    template, own = FUNCTION, set[str]()
    state: dict[str, bytes] = {}
    if isinstance(model, type):
        template = CLASS
    elif code is not model:
        template = INSTANCE
        state["state.pickle"], own = _pickled(vars(model), of=name)
    if module == MAIN:
        module, own = SOURCE, {name, *own}
    entry = template.format(module=module, name=name)
    return _packed(folder, entry=entry, module=module, own=own, files=state)


def save_estimator(model: Any, *, folder: Path, method: str | None) -> Saved:
    """Save an estimator as a pickle, with the code that it has of the script or local modules."""
    pickled, own = _pickled(model, of=type(model).__name__)
    return replace(
        _packed(
            folder,
            entry=ESTIMATOR.format(method=method or "predict"),
            own=own,
            files={"estimator.pickle": pickled},
        ),
        has_method=True,
    )


def _packed(
    folder: Path, *, entry: str, files: Mapping[str, bytes], own: set[str], module: str = SOURCE
) -> Saved:
    """Pack the entry and the files with the code that they need: of the script the definitions of
    `own`, else the whole module, and what no index has of that which these import.
    """
    contents = folder / "contents"
    contents.mkdir()
    imported: set[str] = set()
    if own:
        imported |= _extracted(own, to=contents / f"{SOURCE}.py")
    if module != SOURCE:
        imported |= set(_copied(sys.modules[module], to=contents))
    for name, content in files.items():
        (contents / name).write_bytes(content)
    imported |= {name for file in contents.glob("*.pickle") for name in pickled_modules(file)}
    imported = _brought(imported - {MAIN, SOURCE, module.partition(".")[0]}, to=contents)
    if not (contents / ENTRY).exists():
        (contents / ENTRY).write_text(entry, "utf-8")
    elif entry != CLASS.format(module="predictor", name="Predictor"):
        raise _refused(f"Expected modules of other names than {ENTRY}, where the server begins.")
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


def _extracted(names: set[str], *, to: Path) -> set[str]:
    """Write what the script or notebook defines; returns the modules that it imports."""
    of, wanted = ", ".join(sorted(names)), set(names)
    while True:
        found = extract(*sorted(wanted))
        pickled, own = _pickled(found.values, of=of)
        if own <= wanted:
            break
        wanted |= own
    # Values may be what definitions begin with, or be made of what these define.
    parts = [VALUES, found.code] if not own else [found.code, VALUES]
    if found.values:
        (to.parent / "values.pickle").write_bytes(pickled)
    else:
        parts.remove(VALUES)
    to.write_text("".join([found.future, *parts]), encoding="utf-8")
    return set(found.modules)


class _Pickler(pickle.Pickler):
    """Notes the classes and functions of the script, and names the module that they go into."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.own: set[str] = set()

    def reducer_override(self, value: Any) -> Any:
        is_code = isinstance(value, type | FunctionType) and value.__module__ == MAIN
        if not is_code or not value.__qualname__.isidentifier():
            return NotImplemented
        self.own.add(value.__qualname__)
        return getattr, (_Source(), value.__qualname__)


class _Source:
    """Is that module once it is read from a pickle."""

    def __reduce__(self) -> Any:
        return import_module, (SOURCE,)


def _pickled(values: Any, *, of: str) -> tuple[bytes, set[str]]:
    """Return values as a pickle that can be read elsewhere, and what it needs of the script."""
    file = BytesIO()
    pickler = _Pickler(file)
    try:
        pickler.dump(values)
    except Exception as error:  # whatever a value's own code raises
        raise _refused(f"What {of} refers to can't be sent: {error}.") from error
    size = file.tell()
    if size >= LARGE_BYTES:
        named = values if isinstance(values, dict) else {of: values}
        largest = max(named, key=lambda name: _bytes_of(named[name]))
        warnings.warn(
            f"{size / 1e6:,.0f} MB of values that {of} refers to go along as a pickle, "
            f"{largest} above all. A file beside predictor.py, read from path, can be mapped.",
            ClipperWarning,
            stacklevel=2,
        )
    return file.getvalue(), pickler.own


def _bytes_of(value: Any) -> int:
    return getattr(value, "nbytes", 0) or sys.getsizeof(value)


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
