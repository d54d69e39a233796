"""The peers' virtual environments: made when they are missing, made anew when their pins change."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.command import Failed
from scripts.stack.layout import ROOT

FOLDER = ROOT / ".venv-peers"
REQUIREMENTS = Path(__file__).with_name("requirements")
STAMP = "installed"
INSTALL_SECONDS = 1200.0
TAIL = 1500


def environment(name: str, *, say: Callable[[str], None]) -> Path:
    """Return the environment of that name, after installing whatever it lacks.

    Failed where that can't be done here; the message is the end of what was said.
    """
    folder, requirements = FOLDER / name, REQUIREMENTS / f"{name}.txt"
    stamp, wanted = folder / STAMP, fingerprint(requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    say(f"Installing {name} into {folder.relative_to(ROOT)} (the first time takes a minute) ...")
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run(
        [
            str(folder / "bin/python"), "-m", "pip", "install", "--quiet",
            "--disable-pip-version-check", "--no-input", "--requirement", str(requirements),
        ]
    )  # fmt: skip
    stamp.write_text(wanted)
    return folder


def fingerprint(requirements: Path) -> str:
    """What an environment was made from: another Python or other pins need another one."""
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    return f"{platform.python_version()} {digest}"


def _run(command: list[str]) -> None:
    try:
        subprocess.run(
            command,
            cwd=ROOT,
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip()[-TAIL:]
        raise Failed(said) from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"not installed after {INSTALL_SECONDS:.0f} s") from error
