"""The settings as lists: names, defaults and bounds as they are read, texts from settings.toml."""

import tomllib
from pathlib import Path

from clipper_site.settings import ENV
from scripts.docs.markdown_tables import code

TEXTS = tomllib.loads(Path(__file__).with_name("settings.toml").read_text())
SECTIONS: dict[str, dict[str, str]] = TEXTS["sections"]

UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def variables(section: str) -> str:
    """Return one section of `SECTIONS` as a list."""
    return "\n".join(
        f"- {code(name)} ({_default(name)}{_bound(name)}): {' '.join(text.split())}"
        for name, text in SECTIONS[section].items()
    )


def launcher() -> str:
    texts: dict[str, str] = TEXTS["launcher"]
    return "\n".join(f"- {code(name)}: {' '.join(text.split())}" for name, text in texts.items())


def _bound(name: str) -> str:
    """Return what a number must at least be, or which words there are; texts say the rest."""
    expected = ENV.known[name].expected
    if expected.startswith("one of 1, 0"):
        return ""
    if expected.startswith("one of "):
        return f"; {expected}"
    least = expected.partition("at least ")[2]
    return f"; at least {least}" if least not in ("", "0") else ""


def _default(name: str) -> str:
    if name in TEXTS["defaults"]:
        return " ".join(TEXTS["defaults"][name].split())
    value = ENV.known[name].default
    if isinstance(value, bool):
        return code(int(value))
    if isinstance(value, int) and name.endswith("_BYTES"):
        size = next(f"{value // unit} {name}" for unit, name in UNITS if value % unit == 0)
        return f"{code(value)} ({size})"
    return code(value) if value != "" else "none"
