"""The source of what was written in a script or a notebook, and folders as zips."""

import ast
import builtins
import inspect
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from clipper_client.clipper_error import unsupported
from clipper_client.packaging.required_packages import distributions_of

MAIN = "__main__"
# Lines of a notebook that are no Python.
NOT_PYTHON = ("%", "!", "?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """Source code, the names whose values go with it, and the top-level modules it imports."""

    future: str
    code: str
    values: dict[str, Any]
    modules: frozenset[str]


def extract(*names: str, main: ModuleType | None = None) -> Extract:
    """Return the definitions of these in the script or notebook, and what they refer to."""
    module = main or sys.modules[MAIN]
    tree = ast.parse(_text_of(module))
    defined = {bound: node for node in tree.body for bound in _bound_by(node)}
    if unknown := set(names) - defined.keys():
        raise unsupported(
            f"Expected a definition of {min(unknown)} in the script or notebook, found none."
        )
    wanted, values = _closure(names, defined=defined, there=vars(module))
    code = _code([node for node in tree.body if node in wanted and not _is_future(node)])
    return Extract(
        future=_code([node for node in tree.body if _is_future(node)]),
        code=code,
        values=values,
        modules=frozenset(imported_in(ast.parse(code))),
    )


def imported_in(tree: ast.Module) -> Iterator[str]:
    """Yield the top-level modules that a module imports, within functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def is_local(name: str) -> bool:
    """Return whether an imported module is no part of Python, nor of anything installed."""
    module = sys.modules.get(name)
    if module is None or name in sys.stdlib_module_names or any(distributions_of([name])):
        return False
    return getattr(module, "__file__", None) is not None or hasattr(module, "__path__")


def package_of(module: ModuleType) -> Path:
    """Return the file of a module, or the folder of the package that it belongs to."""
    root = sys.modules.get(module.__name__.partition(".")[0], module)
    if getattr(root, "__file__", None) is None:
        # A package without __init__.py has a folder, or several of which none is the whole.
        folders = {Path(folder).resolve() for folder in getattr(root, "__path__", ())}
        file = str(folders.pop()) if len(folders) == 1 else None
    else:
        file = inspect.getsourcefile(root)
    if file is None:
        raise unsupported(f"Expected a module with source code, got {module.__name__}.")
    path = Path(file)
    return path.parent if path.name == "__init__.py" else path


def _code(statements: list[ast.stmt]) -> str:
    return "".join(f"{ast.unparse(node)}\n\n" for node in statements)


def _text_of(module: ModuleType) -> str:
    cells = vars(module).get("In")
    if isinstance(cells, list):
        return "\n".join(_python_of(cell) for cell in cells)
    file = getattr(module, "__file__", None)
    if file is None:
        raise unsupported(
            "Expected a class of a module, a script or a notebook: what is typed at the prompt "
            "has no source. Put it into a file."
        )
    return Path(file).read_text(encoding="utf-8")


def _python_of(cell: str) -> str:
    lines = [line for line in cell.splitlines() if not line.lstrip().startswith(NOT_PYTHON)]
    text = "\n".join(lines)
    try:
        ast.parse(text)
    except SyntaxError:
        return ""
    return text


def _closure(
    names: Iterable[str], *, defined: dict[str, ast.stmt], there: dict[str, Any]
) -> tuple[set[ast.stmt], dict[str, Any]]:
    """Return the statements that the names refer to, directly or not, and the values they need."""
    statements: set[ast.stmt] = set()
    values: dict[str, Any] = {}
    waiting, seen = [*names], set(names)
    while waiting:
        bound = waiting.pop()
        node = defined.get(bound)
        if node is None or (isinstance(node, ast.Assign | ast.AnnAssign) and not _literal(node)):
            if bound in there and not hasattr(builtins, bound):
                values[bound] = there[bound]
            continue
        statements.add(node)
        found = {used.id for used in ast.walk(node) if isinstance(used, ast.Name)} - seen
        seen |= found
        waiting += sorted(found)
    return statements, values


def _bound_by(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


def _literal(node: ast.Assign | ast.AnnAssign) -> bool:
    try:
        ast.literal_eval(node.value or ast.Constant(None))
    except ValueError:
        return False
    return True


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


LEFT_OUT = ("__pycache__", ".git", ".venv", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache")


def zipped(folder: Path, *, to: Path) -> Path:
    """Pack a folder's files, without its own name in front."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if not set(name.parts) & set(LEFT_OUT) and path.is_file():
                _add(packed, path, name=str(name))
    return to


def _add(packed: zipfile.ZipFile, file: Path, *, name: str) -> None:
    # The earliest time that a zip can say: that of packing would change the digest.
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    with file.open("rb") as source:
        piece = source.read(1 << 20)
        # Weights get no smaller (0.93 as float32), and take twenty times as long to compress.
        if len(zlib.compress(piece, 1)) < 0.9 * len(piece):
            entry.compress_type = zipfile.ZIP_DEFLATED
        source.seek(0)
        with packed.open(entry, "w", force_zip64=True) as target:
            shutil.copyfileobj(source, target)
