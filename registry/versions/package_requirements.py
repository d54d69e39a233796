"""Requirements of a version: the lines of a requirements.txt that name packages.

Options, paths and URLs could name other files of this machine or another index; the operator's
settings say where packages come from.
"""

import platform
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from core.errors import BadRequest

MOST_CHARACTERS = 1 << 16
# What a container runs on.
PYTHONS = ("3.11", "3.12", "3.13")

_PYTHON = re.compile(r"(\d+\.\d+)(\.\d+)?\Z")
_COMMENT = re.compile(r"(^|\s)#.*$")
_SCHEME = re.compile(r"(https|git\+https|git\+ssh)://", re.IGNORECASE)


class InvalidRequirements(ValueError):
    """A line that isn't taken, by its number; the message says what was expected and what came."""


def parse(text: str, *, urls: bool = False) -> tuple[str, ...]:
    """Return the requirements sorted in normal form. Raises InvalidRequirements."""
    if len(text) > MOST_CHARACTERS:
        raise InvalidRequirements(
            f"Expected at most {MOST_CHARACTERS} characters, got {len(text)}."
        )
    lines = list(_lines(text))
    if len(lines) > 500:
        raise InvalidRequirements(f"Expected at most 500 requirements, got {len(lines)}.")
    return tuple(sorted({_normal(line, number=number, urls=urls) for number, line in lines}))


def check_python(text: str) -> None:
    """Raise ValueError for a Python that no container runs on."""
    found = _PYTHON.match(text)
    if text and (found is None or found[1] not in PYTHONS):
        raise ValueError(
            f"Expected a version of Python out of {', '.join(PYTHONS)}, such as {PYTHONS[-1]} or "
            f"{PYTHONS[-1]}.1, got {_quoted(text)}."
        )


def met_here(requirements: Sequence[str], *, python: str) -> bool:
    """Say whether this process has that Python and all of these, without extras or URLs."""
    if python and not f"{sys.version.split()[0]}.".startswith(f"{python}."):
        return False
    return all(_is_met(Requirement(line)) for line in requirements)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines without comments, with their numbers."""
    begun, said = 0, ""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        begun = begun or number
        part = _COMMENT.sub("", line.rstrip("\r")).rstrip()
        if part.endswith("\\"):
            said += part[:-1] + " "
            continue
        if said := (said + part).strip():
            yield begun, said
        begun, said = 0, ""
    if said.strip():
        yield begun, said.strip()


def _normal(line: str, *, number: int, urls: bool) -> str:
    if refusal := _refusal(line):
        raise InvalidRequirements(f"Line {number}: {refusal}, got {_quoted(line)}.")
    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        why = str(error).partition("\n")[0]
        raise InvalidRequirements(
            f"Line {number}: Expected a requirement such as scikit-learn==1.5.2, "
            f"got {_quoted(line)}: {why}."
        ) from error
    url = requirement.url
    if url is not None and not (urls and _SCHEME.match(url)):
        expected = "a URL that starts with https://" if urls else "a package of the index"
        raise InvalidRequirements(f"Line {number}: Expected {expected}, got {_quoted(line)}.")
    requirement.name = canonicalize_name(requirement.name)
    return str(requirement)


def _refusal(line: str) -> str:
    """Return what was expected instead of such a line, "" if it may be a requirement."""
    if len(line) > 1000:  # Python refuses to read longer numbers that may be in it
        return "Expected a requirement of at most 1000 characters"
    if re.search(r"(^|\s)-", line):
        return "Expected a requirement without options (the operator's settings say where from)"
    # uv puts what the environment holds in the place of ${NAME}.
    if "$" in line or not line.isprintable():
        return "Expected a requirement without variables and control characters"
    names_file = line.endswith((".whl", ".tar.gz", ".zip")) and "@" not in line
    if line.startswith((".", "/", "~")) or "\\" in line or names_file:
        return "Expected the name of a package and no path"
    return ""


def _quoted(line: str) -> str:
    return repr(line if len(line) <= 80 else f"{line[:80]}…")


def _is_met(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    if requirement.url is not None or requirement.extras:
        return False
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def python_for(required: str, *, asked: str, there: Callable[[], Collection[str]]) -> str:
    """Return the Python asked for, the stack's, or the newest `there` that runs such a project.

    "" stands for any. Raises BadRequest if none fits.
    """
    if not required:
        return asked
    try:
        allowed = SpecifierSet(required)
    except InvalidSpecifier as error:
        raise _no_python(
            "requires_python", f"versions of Python, such as >=3.12, got {_quoted(required)}"
        ) from error
    if asked:
        # Any release of a version such as 3.12 may be meant.
        in_full = [asked] if asked.count(".") == 2 else [f"{asked}.{each}" for each in range(100)]
        if not any(allowed.contains(each, prereleases=True) for each in in_full):
            raise _no_python(
                "python",
                f"a Python that the project runs on, which requires {required}, got {asked}",
            )
        return asked
    own = platform.python_version()
    if allowed.contains(own, prereleases=True):
        return _minor(own)
    here = [each for each in there() if _minor(each) in PYTHONS]
    fitting = [each for each in here if allowed.contains(each, prereleases=True)]
    if not fitting:
        names = ", ".join(sorted({own, *here}, key=Version))
        raise _no_python(
            "requires_python",
            f"a project that runs on a Python which is here ({names}), got one that requires "
            f"{required}",
        )
    return _minor(max(fitting, key=Version))


def _no_python(field: str, expected: str) -> BadRequest:
    return BadRequest(f"{field}: Expected {expected}.", fields=[field])


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
