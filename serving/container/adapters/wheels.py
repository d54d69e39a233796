"""A wheel as an artifact: what it is for, what it needs, and where its Predictor is."""

import re
import sys
import sysconfig
from configparser import ConfigParser, Error
from email import message_from_string
from pathlib import Path

from serving.container.failures.container_errors import ArtifactInvalid

# A wheel with more than one package says by such an entry point, "package.module:Class", which.
ENTRY_POINTS = "clipper.predictors"
_ENTRY = re.compile(r"([\w.]+)\s*:\s*(\w+)")


class Wheel:
    """An unpacked wheel; raises ArtifactInvalid where it isn't for this Python and machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._about = next(folder.glob("*.dist-info"))
        tags = self._said("WHEEL", "Tag")
        if not any(map(_fits, tags)):
            raise ArtifactInvalid(
                f"expected a wheel for Python {_python()} on {sysconfig.get_platform()}, "
                f"got one for {', '.join(tags) or 'nothing'}"
            )

    @classmethod
    def is_one(cls, folder: Path) -> bool:
        return len(list(folder.glob("*.dist-info/WHEEL"))) == 1

    @property
    def needs(self) -> str:
        """The packages that it requires, as it names them."""
        return ", ".join(self._said("METADATA", "Requires-Dist")) or "nothing"

    def entry(self, *, class_name: str) -> tuple[str, str]:
        """The module to import, and the class in it."""
        if entry := self._entry_point():
            return entry
        there = sorted(
            path.stem
            for path in self._folder.iterdir()
            if path.suffix == ".py" or (path / "__init__.py").is_file()
        )
        if len(there) != 1:
            raise ArtifactInvalid(
                f"expected a wheel of one module or package, or an entry point {ENTRY_POINTS} "
                f"that says which, got {', '.join(there) or 'none'}"
            )
        return there[0], class_name

    def _entry_point(self) -> tuple[str, str] | None:
        entries = ConfigParser(delimiters=("=",), interpolation=None)
        try:
            entries.read_string(self._text("entry_points.txt"))
        except Error as error:
            raise ArtifactInvalid(f"expected a wheel's entry points: {error}") from error
        found = list(dict(entries[ENTRY_POINTS]).values()) if ENTRY_POINTS in entries else []
        if not found:
            return None
        match = _ENTRY.fullmatch(found[0])
        if match is None or len(found) > 1:
            raise ArtifactInvalid(
                f"expected one entry point package.module:Class in {ENTRY_POINTS}, "
                f"got {', '.join(found)}"
            )
        return match[1], match[2]

    def _said(self, file: str, name: str) -> list[str]:
        return [str(value) for value in message_from_string(self._text(file)).get_all(name, [])]

    def _text(self, file: str) -> str:
        try:
            return (self._about / file).read_text(errors="replace")
        except OSError:
            return ""


def _fits(tag: str) -> bool:
    """Return whether wheels of a tag ("cp311-cp311-manylinux_2_28_x86_64") run here."""
    interpreters, _, rest = tag.partition("-")
    abi, _, platform = rest.partition("-")
    return _fits_python(interpreters, abi=abi) and _fits_machine(platform)


def _fits_python(interpreters: str, *, abi: str) -> bool:
    minor = sys.version_info.minor
    for interpreter in interpreters.split("."):
        match = re.fullmatch(r"(py|cp)3(\d*)", interpreter)
        if match is None:
            continue
        least = int(match[2] or 0)
        if least == minor or (least < minor and (match[1] == "py" or abi == "abi3")):
            return True
    return False


def _fits_machine(platform: str) -> bool:
    system, _, machine = sysconfig.get_platform().partition("-")
    kinds = (system, "manylinux", "musllinux") if system == "linux" else (system,)
    return platform == "any" or any(
        name.startswith(kinds) and name.endswith(machine.replace("-", "_").replace(".", "_"))
        for name in platform.split(".")
    )


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
