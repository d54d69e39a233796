"""Which Python a version gets whose project says on which ones it runs (`requires-python`)."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from registry.requirements import PYTHONS, QUOTED

# Of a version such as 3.12, which of its releases is meant is not said.
RELEASES = range(100)


class InvalidRequiresPython(ValueError):
    """No specifier, such as >=3.12."""


class PythonUnavailable(ValueError):
    """None that is here, or not the one that is named, is one that the project runs on."""


def python_for(required: str, *, asked: str, there: Callable[[], Collection[str]]) -> str:
    """Return the Python for what `required` specifies: the one asked for, the stack's, or else the
    newest that is `there`, which names them in full; "" where neither says anything.

    Raises InvalidRequiresPython and PythonUnavailable.
    """
    if not required:
        return asked
    allowed = _parsed(required)
    if asked:
        _check_asked(asked, allowed=allowed, required=required)
        return asked
    own = platform.python_version()
    if allowed.contains(own, prereleases=True):
        return _minor(own)
    here = [each for each in there() if _minor(each) in PYTHONS]
    fitting = [each for each in here if allowed.contains(each, prereleases=True)]
    if not fitting:
        names = ", ".join(sorted({own, *here}, key=Version))
        raise PythonUnavailable(
            f"Expected a project that runs on a Python which is here ({names}), got one that "
            f"requires {required}"
        )
    return _minor(max(fitting, key=Version))


def _parsed(required: str) -> SpecifierSet:
    try:
        return SpecifierSet(required)
    except InvalidSpecifier as error:
        raise InvalidRequiresPython(
            f"Expected versions of Python, such as >=3.12, got {required[:QUOTED]!r}"
        ) from error


def _check_asked(asked: str, *, allowed: SpecifierSet, required: str) -> None:
    in_full = [asked] if asked.count(".") == 2 else [f"{asked}.{each}" for each in RELEASES]
    if not any(allowed.contains(each, prereleases=True) for each in in_full):
        raise PythonUnavailable(
            f"Expected a Python that the project runs on, which requires {required}, got {asked}"
        )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
