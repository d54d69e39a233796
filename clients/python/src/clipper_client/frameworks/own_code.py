"""scikit-learn by skops, code of one's own by its source, anything else with predict by pickle."""

import ast
import inspect
import pickle
import shutil
import sys
from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import FunctionType
from typing import IO, Any

from clipper_client.clipper_error import unsupported
from clipper_client.frameworks.framework import Framework, Saved, Saving, is_of
from clipper_client.packaging.required_packages import distributions_of, packages_in
from clipper_client.packaging.sources import (
    LEFT_OUT,
    MAIN,
    extract,
    imported_in,
    is_local,
    package_of,
    zipped,
)

ENTRY = "predictor.py"
# The module for what comes from a script or notebook.
SOURCE = "model_source"
# Types of these the server judges by their names; of others a skops file holds only the names.
KNOWN = ("sklearn", "numpy", "scipy", "functools")
LAMBDA = (lambda: None).__name__
CLASS = "from {module} import {name} as Predictor\n"
PICKLED = """
import pickle
from pathlib import Path

class Predictor:
    def __init__(self, path):
        with (Path(path) / "model.pickle").open("rb") as file:
            self._model = pickle.load(file)
        self._names = getattr(self._model, "feature_names_in_", None)
        found = getattr(self._model, "n_features", None)
        self.n_features = getattr(self._model, "n_features_in_", found)

    def pred_batch(self, inputs):
        if self._names is not None and hasattr(inputs, "columns"):
            inputs = inputs[list(self._names)]
        return self._model.{method}(inputs)

    def warm_up(self):
        getattr(self._model, "warm_up", lambda: None)()
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
        return _save_estimator(model, folder=folder, method=saving.method)
    is_class = isinstance(model, type)
    code = model if is_class or inspect.isfunction(model) else type(model)
    module, name = code.__module__, code.__qualname__
    if name.endswith(LAMBDA):
        raise unsupported("Expected a function with a name, got a lambda: define it with def.")
    if "." in name:
        raise unsupported(f"Expected a class or function at the top of its module, got {name}.")
    if not is_class:
        method = "__call__" if code is model else "pred_batch"
        return _pickled_model(model, folder=folder, method=method)
    own = {name} if module == MAIN else set[str]()
    module = SOURCE if own else module
    entry = CLASS.format(module=module, name=name)
    return _packed(folder, entry=entry, own=own, imported={module})


def _save_estimator(model: Any, *, folder: Path, method: str | None) -> Saved:
    """Save an estimator as a pickle, with the code that it has of the script or local modules."""
    saved = _pickled_model(model, folder=folder, method=method or "predict")
    return replace(saved, has_method=True)


def _pickled_model(model: Any, *, folder: Path, method: str) -> Saved:
    pickled, needs = _pickled(model, of=getattr(model, "__qualname__", type(model).__name__))
    contents = folder / "contents"
    contents.mkdir()
    (contents / "model.pickle").write_bytes(pickled)
    entry = PICKLED.format(method=method)
    return _packed(folder, entry=entry, own=needs.own, imported=needs.modules)


def _packed(folder: Path, *, entry: str, own: set[str], imported: Iterable[str] = ()) -> Saved:
    """Pack the entry with the definitions of `own` and the local modules that it needs."""
    contents = folder / "contents"
    contents.mkdir(exist_ok=True)
    modules = set(imported)
    if own:
        modules |= _extracted(own, to=contents / f"{SOURCE}.py")
    modules = {name.partition(".")[0] for name in modules} - {MAIN, SOURCE}
    others = _brought(modules, to=contents)
    if not (contents / ENTRY).exists():
        (contents / ENTRY).write_text(entry, "utf-8")
    elif entry != CLASS.format(module="predictor", name="Predictor"):
        raise unsupported(f"Expected modules of other names than {ENTRY}, where the server begins.")
    return Saved(
        path=zipped(contents, to=folder / "model.zip"),
        runtime="python",
        requirements=tuple(distributions_of(others)),
    )


def _extracted(names: set[str], *, to: Path) -> set[str]:
    of, wanted = ", ".join(sorted(names)), set(names)
    while True:
        found = extract(*sorted(wanted))
        pickled, needs = _pickled(found.values, of=of)
        if needs.own <= wanted:
            break
        wanted |= needs.own
    # Values may be what definitions begin with, or be made of what these define.
    parts = [VALUES, found.code] if not needs.own else [found.code, VALUES]
    if found.values:
        (to.parent / "values.pickle").write_bytes(pickled)
    else:
        parts.remove(VALUES)
    to.write_text("".join([found.future, *parts]), encoding="utf-8")
    return {*found.modules, *needs.modules}


class _Pickler(pickle.Pickler):
    """Notes modules, and the classes and functions of the script, which go into another module."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.own: set[str] = set()
        self.modules: set[str] = set()

    def reducer_override(self, value: Any) -> Any:
        module = str(getattr(value, "__module__", None) or type(value).__module__)
        self.modules.add(module.partition(".")[0])
        is_code = isinstance(value, type | FunctionType) and module == MAIN
        if not is_code or not value.__qualname__.isidentifier():
            return NotImplemented
        self.own.add(value.__qualname__)
        return getattr, (_Source(), value.__qualname__)


class _Source:
    """Is that module once it is read from a pickle."""

    def __reduce__(self) -> Any:
        return import_module, (SOURCE,)


def _pickled(values: Any, *, of: str) -> tuple[bytes, _Pickler]:
    """Return values as a pickle that can be read elsewhere, and what it needs."""
    file = BytesIO()
    pickler = _Pickler(file)
    try:
        pickler.dump(values)
    except Exception as error:  # whatever a value's own code raises
        raise unsupported(f"What {of} refers to can't be sent: {error}.") from error
    return file.getvalue(), pickler


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
    target = to / source.name
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
    else:
        shutil.copy(source, target)
    files = target.rglob("*.py") if source.is_dir() else [target]
    found = {name for file in files for name in imported_in(ast.parse(file.read_bytes()))}
    return found - {source.stem}


def _save_sklearn(model: Any, folder: Path, saving: Saving) -> Saved:
    try:
        import skops.io
    except ImportError as error:
        raise unsupported(
            "Saving a scikit-learn model takes skops, which isn't installed here: pip install skops"
        ) from error
    path = folder / "model.skops"
    skops.io.dump(model, path)
    names = skops.io.get_untrusted_types(file=path)
    if any(name.partition(".")[0] not in KNOWN for name in names):
        return _save_estimator(model, folder=folder, method=saving.method)
    return Saved(
        path=path,
        runtime="sklearn",
        requirements=("scikit-learn", *packages_in(model)),
    )


FRAMEWORKS = (
    Framework("sklearn", lambda m: is_of(m, "sklearn") and hasattr(m, "get_params"), _save_sklearn),
    Framework("python", _is_python, _save),
)
