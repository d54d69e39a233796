"""Typed settings from the environment; what is wrong is collected and reported by `check`."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

T = TypeVar("T")

CHANGE_EXPECTED = "a time with its zone such as 2026-01-31T12:00:00Z, a day from now at most"
# Whoever restarts web processes one by one names a time at which all will have been.
LATEST_CHANGE = timedelta(days=1)
TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongSetting:
    """One environment variable that could not be read: what came and what was expected."""

    name: str
    value: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable as it is read: what it is where nobody sets it, and what is taken."""

    default: object
    expected: str


@dataclass(slots=True)
class Environment:
    """Reads variables, and remembers those that are wrong for `manage.py check`."""

    source: Mapping[str, str] = field(default_factory=lambda: os.environ)
    wrong: list[WrongSetting] = field(default_factory=list)
    known: dict[str, Variable] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        self.known[name] = Variable(default=default, expected="text")
        return self.source.get(name, default)

    def flag(self, name: str, *, default: bool) -> bool:
        return self._read(name, default, _flag, "one of 1, 0, true, false, yes, no, on, off")

    def whole(
        self, name: str, *, default: int, at_least: int = 0, at_most: int | None = None
    ) -> int:
        def parse(text: str) -> int:
            number = int(text)
            if number < at_least or (at_most is not None and number > at_most):
                raise ValueError(text)
            return number

        bounds = f"of at least {at_least}" if at_most is None else f"from {at_least} to {at_most}"
        return self._read(name, default, parse, f"a whole number {bounds}")

    def one_of(self, name: str, *, default: str, choices: Sequence[str]) -> str:
        """Read a word in capitals, whatever case it came in."""
        return self._read(
            name,
            default,
            lambda text: choices[choices.index(text.upper())],
            f"one of {', '.join(choices)}",
        )

    def names(self, name: str, *, default: str) -> list[str]:
        names = [part.strip() for part in self.text(name, default).split(",") if part.strip()]
        self.known[name] = Variable(default=default, expected="names, separated by commas")
        return names

    def parsed(self, name: str, *, default: T, parse: Callable[[str], T], expected: str) -> T:
        return self._read(name, default, parse, expected)

    def given(self, name: str) -> bool:
        return bool(self.source.get(name))

    def reject(self, name: str, *, expected: str) -> None:
        """Record a variable whose value can be read but not used."""
        self.wrong.append(
            WrongSetting(name=name, value=self.source.get(name, ""), expected=expected)
        )

    def _read(self, name: str, default: T, parse: Callable[[str], T], expected: str) -> T:
        self.known[name] = Variable(default=default, expected=expected)
        text = self.source.get(name)
        if text is None or text == "":
            return default
        try:
            return parse(text)
        except ValueError:
            self.reject(name, expected=expected)
            return default


def parse_change(text: str) -> datetime | None:
    """Read a time with its zone, not far from now if it is to come; raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or moment > datetime.now(UTC) + LATEST_CHANGE:
        raise ValueError(text)
    return moment


def _flag(text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError(text)
