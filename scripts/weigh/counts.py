"""Counts of lines, names and words, by rules that are the same for everybody."""

import ast
import io
import re
import subprocess
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from clipper_site import ROOT

# Paths from the root of the repository → text.
Tree = Mapping[str, str]

LARGE_FOLDER = 12
OPENING = re.compile(r"(Who|What|Which|Whether|Whose|Of)\b(?![^.!:]*\?)")
SENTENCE = re.compile(r"(?<=[.!?:])\s+|\n\s*\n|\n[-*|] ")
# Django names these files; every package has the first two.
CONVENTIONS = {"__init__.py", "__main__.py", "admin.py", "apps.py", "models.py", "urls.py"}


def working_tree() -> Tree:
    """Return the tracked text files as they lie in the checkout."""
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
    return dict(_texts((name, _read(ROOT / name)) for name in listed.splitlines()))


def revision(name: str) -> Tree:
    """Return the text files of a commit."""
    archive = subprocess.check_output(["git", "archive", name], cwd=ROOT)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = ((member.name, tar.extractfile(member)) for member in tar)
        return dict(_texts((name, file.read()) for name, file in members if file))


def product(tree: Tree) -> Tree:
    """Return the Python that runs in production: no tests, benchmarks, examples, migrations."""
    outside = ("tests/", "benchmarks/", "examples/")
    return {
        path: text
        for path, text in _python(tree).items()
        if not path.startswith(outside) and "/migrations/" not in path
    }


def lines(tree: Tree, folder: str = "") -> int:
    """Count the lines of Python below a folder, blank lines and comments included."""
    return sum(text.count("\n") for path, text in _python(tree).items() if path.startswith(folder))


def constants(tree: Tree, folder: str = "") -> int:
    """Count the names that modules bind to numbers."""
    return sum(
        1
        for path, text in product(tree).items()
        if path.startswith(folder)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and _is_numeric(node.value)
    )


def large_folders(tree: Tree) -> list[str]:
    """Return the folders of product and tests with more than twelve modules."""
    counted = Counter(
        str(PurePosixPath(path).parent)
        for path in _python(tree)
        if not path.startswith("benchmarks/") and "/migrations/" not in path
        if not path.endswith("__init__.py")
    )
    return sorted(folder for folder, count in counted.items() if count > LARGE_FOLDER)


def repeated_names(tree: Tree) -> list[str]:
    """Return the names that several files of the product have."""
    counted = Counter(PurePosixPath(path).name for path in product(tree))
    return sorted(name for name, count in counted.items() if count > 1 and name not in CONVENTIONS)


def openings(tree: Tree) -> list[str]:
    """Return docstrings, and sentences of docs, that open with a relative clause."""
    docstrings = (
        f"{path}: {docstring}"
        for path, text in product(tree).items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if OPENING.match(docstring := ast.get_docstring(node) or "")
    )
    sentences = (
        f"{path}: {sentence.strip()}"
        for path, text in tree.items()
        if path.startswith("docs/") and path.endswith(".md")
        for sentence in SENTENCE.split(text)
        if OPENING.match(sentence.strip())
    )
    return [*docstrings, *sentences]


def words(tree: Tree) -> int:
    """Count the words of the documentation without its results."""
    return sum(
        len(text.split())
        for path, text in tree.items()
        if path.startswith("docs/") and path.endswith(".md") and "/results/" not in path
    )


COUNTS: Mapping[str, Callable[[Tree], int]] = {
    "product, lines of Python": lambda tree: lines(product(tree)),
    "  of them clients": lambda tree: lines(product(tree), "clients/"),
    "tests, lines": lambda tree: lines(tree, "tests/"),
    "benchmarks, lines": lambda tree: lines(tree, "benchmarks/"),
    "numeric constants": constants,
    "  of them in the engine": lambda tree: constants(tree, "serving/engine/"),
    f"folders above {LARGE_FOLDER} modules": lambda tree: len(large_folders(tree)),
    "file names used twice": lambda tree: len(repeated_names(tree)),
    "the word 'told'": lambda tree: sum(
        len(re.findall(r"\btold\b", text)) for text in product(tree).values()
    ),
    "openings with Who, What, Which …": lambda tree: len(openings(tree)),
    "words of docs without results": words,
    "words of results": lambda tree: sum(
        len(text.split()) for path, text in tree.items() if path.startswith("docs/results/")
    ),
    "lines of ARCHITECTURE.md": lambda tree: tree["ARCHITECTURE.md"].count("\n"),
    "lines of CHANGELOG.md": lambda tree: tree["CHANGELOG.md"].count("\n"),
}


def _python(tree: Tree) -> Tree:
    return {path: text for path, text in tree.items() if path.endswith(".py")}


def _is_numeric(value: ast.expr) -> bool:
    nodes = list(ast.walk(value))
    allowed = (ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Name, ast.Load, ast.Tuple)
    numbers = [node for node in nodes if isinstance(node, ast.Constant)]
    return (
        bool(numbers)
        and all(type(number.value) in (int, float) for number in numbers)
        and all(isinstance(node, (ast.Constant, *allowed)) for node in nodes)
    )


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _texts(files: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, str]]:
    for path, content in files:
        if path.endswith((".py", ".md")):
            yield path, content.decode()
