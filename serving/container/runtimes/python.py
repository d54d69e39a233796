"""Any Python code: a module, or a zip or wheel of a module or package, with a ``Predictor`` class.

``Predictor`` is made once. Its constructor is given, by their names, those that it takes of
``path``, the folder with the unpacked artifact, and ``device``. ``pred_batch(inputs)`` answers,
``warm_up()`` may prepare.
"""

import importlib.metadata
import importlib.util
import inspect
import itertools
import platform
import re
import shutil
import sys
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

from serving.container.adapters.archive import new_folder, unpack
from serving.container.failures.container_errors import (
    ArtifactInvalid,
    LoadFailed,
    explain,
    let_interrupts_through,
)
from serving.container.failures.tracebacks import keep_sources
from serving.container.inputs.rows import Rows
from serving.container.inputs.signature import MOST_FEATURES
from serving.container.spec import LoadSpec

ENTRY_MODULES = ("predictor.py", "model.py", "__init__.py")
CLASS_NAME = "Predictor"
# A wheel with more than one package says by such an entry point, "package.module:Class", which.
ENTRY_POINTS = "clipper.predictors"
HOW = "; what it imports and doesn't bring goes into the version's requirements (requirements=)"

_serial = itertools.count(1)


class PythonModel:
    """An instance of the artifact's Predictor class, with its folder on the import path."""

    def __init__(self, predictor: Any, *, folder: Path, module: str) -> None:
        self._predictor = predictor
        self.n_features = _number_of_features(predictor)
        self._finalizer = weakref.finalize(self, _forget, folder, module)

    def predict(self, inputs: Rows) -> Any:
        return self._predictor.pred_batch(inputs)

    def warm_up(self) -> None:
        warm_up = getattr(self._predictor, "warm_up", None)
        if callable(warm_up):
            warm_up()

    def close(self) -> None:
        """Remove the unpacked files and forget the modules imported from them."""
        self._finalizer()


def load(spec: LoadSpec) -> PythonModel:
    folder = new_folder()
    name = f"clipper_model_{spec.sha256[:12]}_{next(_serial)}"
    try:
        found = _find_class(spec, name=name, folder=folder)
        predictor = _construct(found, folder=folder, device=spec.device)
        return PythonModel(predictor, folder=folder, module=name)
    except BaseException as error:
        keep_sources(error)
        _forget(folder, name)
        raise


def _find_class(spec: LoadSpec, *, name: str, folder: Path) -> type[Any]:
    """Put the artifact's files into the folder, and import its Predictor from there."""
    if not spec.starts_with(b"PK"):
        entry = folder / "predictor.py"
        shutil.copyfile(spec.artifact, entry)
        return _class_of_file(entry, name=name, folder=folder)
    unpack(spec.artifact, into=folder)
    there = importlib.metadata.distributions(path=[str(folder)])  # eggs too
    if len(wheels := [found for found in there if found.read_text("WHEEL")]) == 1:
        return _class_of_wheel(wheels[0], folder=folder)
    return _class_of_file(_find_entry(folder), name=name, folder=folder)


def _class_of_wheel(wheel: importlib.metadata.Distribution, *, folder: Path) -> type[Any]:
    """A wheel's modules have the names that they have where it is installed."""
    tags = re.findall(r"(?m)^Tag: (\S+)", wheel.read_text("WHEEL") or "")
    if not any(map(_fits, tags)):
        raise ArtifactInvalid(
            f"expected a wheel for Python 3.{sys.version_info.minor} on {platform.machine()}, "
            f"got one for {', '.join(tags) or 'nothing'}"
        )
    module_name, class_name = _entry_of_wheel(wheel, folder=folder)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:
        let_interrupts_through(error)
        said = f"the artifact failed to import: {explain(error)}"
        if isinstance(error, ImportError):
            said += f"; the wheel needs {', '.join(wheel.requires or ['nothing'])}"
        raise LoadFailed(said) from error
    return _class_in(module, name=class_name, where=module_name)


def _fits(tag: str) -> bool:
    """Return whether wheels of a tag ("cp311-cp311-manylinux_2_28_x86_64") run here."""
    pythons, _, rest = tag.partition("-")
    abi, _, machine = rest.partition("-")
    if machine != "any" and not ("linux" in machine and machine.endswith(platform.machine())):
        return False
    minor = sys.version_info.minor
    for kind, digits in re.findall(r"\b(py|cp)3(\d{0,3})\b", pythons):
        least = int(digits or 0)
        if least == minor or (least < minor and (kind == "py" or abi == "abi3")):
            return True
    return False


def _entry_of_wheel(wheel: importlib.metadata.Distribution, *, folder: Path) -> tuple[str, str]:
    """Return the module to import and the class in it: its entry point's, or its only one."""
    try:
        entries = list(wheel.entry_points.select(group=ENTRY_POINTS))
    except (TypeError, ValueError) as error:
        raise ArtifactInvalid(f"expected a wheel's entry points: {error}") from error
    if len(entries) == 1 and re.fullmatch(r"[\w.]+\s*:\s*\w+", entries[0].value):
        return entries[0].module, entries[0].attr
    modules = sorted(
        path.stem
        for path in folder.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    )
    if entries or len(modules) != 1:
        got = ", ".join([*(entry.value for entry in entries), *modules]) or "none"
        raise ArtifactInvalid(
            "expected a wheel of one module or package, or one entry point package.module:Class "
            f"in {ENTRY_POINTS}, got {got}"
        )
    return modules[0], CLASS_NAME


def _class_of_file(entry: Path, *, name: str, folder: Path) -> type[Any]:
    in_package = entry.name == "__init__.py" and entry.parent != folder
    sys.path.insert(0, str(entry.parent.parent if in_package else entry.parent))
    importlib.invalidate_caches()
    try:
        module = _import(entry, name=name)
    except BaseException as error:
        let_interrupts_through(error)
        how = HOW if isinstance(error, ModuleNotFoundError) else _relative(error)
        raise LoadFailed(f"the artifact failed to import: {explain(error)}{how}") from error
    return _class_in(module, name=CLASS_NAME, where=entry.name)


def _class_in(module: ModuleType, *, name: str, where: str) -> type[Any]:
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise ArtifactInvalid(f"expected a class {name} in {where}, got none")
    if not callable(getattr(found, "pred_batch", None)):
        got = "predict: rename the method" if hasattr(found, "predict") else "none"
        raise ArtifactInvalid(f"expected {name} to have pred_batch(self, inputs), got {got}")
    return found


def _find_entry(folder: Path) -> Path:
    """The entry module of a zip: predictor.py, model.py, __init__.py, or the only one there is."""
    for name in ENTRY_MODULES:
        if (folder / name).is_file():
            return folder / name
    modules = sorted(folder.glob("*.py"))
    if len(modules) == 1:
        return modules[0]
    inner = sorted(path.parent for path in folder.glob("*/__init__.py"))
    if not modules and len(inner) == 1:
        return inner[0] / "__init__.py"
    folders = [path for path in folder.iterdir() if path.is_dir() and path.name != "__MACOSX"]
    if not modules and not inner and len(folders) == 1:
        return _find_entry(folders[0])
    found = ", ".join(path.name for path in [*modules, *inner]) or "none"
    raise ArtifactInvalid(
        f"expected one module or package, or one of {', '.join(ENTRY_MODULES)}, in the zip; "
        f"got {found}"
    )


def _construct(predictor_class: type[Any], *, folder: Path, device: str) -> Any:
    """Make the Predictor with `path` and `device`, as far as its constructor takes them."""
    known: dict[str, Any] = {"path": folder, "device": device}
    try:
        parameters = inspect.signature(predictor_class).parameters
    except (TypeError, ValueError):  # such as of a class written in C
        arguments = {"path": folder}
    else:
        takes_all = any(taken.kind is taken.VAR_KEYWORD for taken in parameters.values())
        arguments = {name: known[name] for name in known if takes_all or name in parameters}
    try:
        return predictor_class(**arguments)
    except BaseException as error:
        let_interrupts_through(error)
        called = f"{predictor_class.__name__}({', '.join(arguments)})"
        raise LoadFailed(f"{called} failed: {explain(error)}{_relative(error)}") from error


def _relative(error: BaseException) -> str:
    """Say where the artifact's files are if one was looked for by a relative path."""
    name = getattr(error, "filename", None)
    if not isinstance(error, FileNotFoundError) or not isinstance(name, str) or name[:1] == "/":
        return ""
    return (
        f"; the files of the artifact are in its folder, Predictor's argument path: path / {name!r}"
    )


def _number_of_features(predictor: Any) -> int | None:
    features = getattr(predictor, "n_features", None)
    if not isinstance(features, int):
        return None
    if not 0 <= features <= MOST_FEATURES:
        raise ArtifactInvalid(f"expected n_features from 0 to {MOST_FEATURES}, got {features}")
    return features


def _import(entry: Path, *, name: str) -> ModuleType:
    is_package = entry.name == "__init__.py"
    spec = importlib.util.spec_from_file_location(
        name, entry, submodule_search_locations=[str(entry.parent)] if is_package else None
    )
    if spec is None or spec.loader is None:
        raise ArtifactInvalid(f"expected a Python module, got {entry.name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _forget(folder: Path, module: str) -> None:
    """Leave no module behind: the next version may have files of the same names."""
    inside = f"{folder}/"
    sys.path[:] = [path for path in sys.path if not f"{path}/".startswith(inside)]
    for name, loaded in list(sys.modules.items()):
        # A model may put anything among the modules, and anything into one.
        origin = vars(loaded).get("__file__") if type(loaded) is ModuleType else None
        within = isinstance(origin, str) and origin.startswith(inside)
        if within or name == module or name.startswith(f"{module}."):
            sys.modules.pop(name, None)
    shutil.rmtree(folder, ignore_errors=True)
