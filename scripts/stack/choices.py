"""What a person may choose of a stack: address, port and folder, refused before it starts."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from .errors import StackError
from .layout import HOST

LAST_PORT = 65535
CONSOLE_PORT = "CLIPPER_CONSOLE_PORT"
LISTENS_ON = "CLIPPER_HOST"
# Each has a meaning that can't be taken from it: to supervisord "%" and quotes, to Redis "\".
UNUSABLE = '%"\\'


def usable_port(text: str, *, name: str = "PORT") -> int:
    """Read a port; raises StackError for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= LAST_PORT):
        raise StackError(f"{name}={text} is no port; expected 1 to {LAST_PORT}.")
    return int(text)


def usable_host(text: str) -> str:
    """Read the address to listen on, loopback unless one is given; raises StackError for none."""
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]"))) if text else HOST
    except ValueError:
        raise StackError(
            f"{LISTENS_ON}={text} is no address; expected one of this machine's, such as {HOST}, "
            "or 0.0.0.0 for all of them."
        ) from None


def usable_console_port(text: str, *, beside: int) -> int:
    """Read the port of the console's own, 0 where it has none; it can't be the stack's."""
    if not text.strip("0"):
        return 0
    port = usable_port(text, name=CONSOLE_PORT)
    if port == beside:
        raise StackError(f"{CONSOLE_PORT}={port} is the stack's own port; choose another.")
    return port


def usable_var(text: str) -> Path:
    """Read the path of a folder for the state; raises StackError where no stack could live there.

    Spaces, "#", "?" and letters of any language are fine.
    """
    if not text.strip():
        raise StackError("VAR is empty; expected a folder for the state, such as var.")
    # Where a link leads to, or where we are, counts too: processes are given the whole path.
    try:
        whole = str(Path(text).resolve())
        whole.encode()
    except (OSError, RuntimeError, ValueError):
        raise StackError(f"VAR={text!r} is no path that can be used.") from None
    wrong = next((c for c in whole if c in UNUSABLE or not c.isprintable()), None)
    if wrong is not None:
        raise StackError(f"VAR={whole!r} contains {wrong!r}; choose a path without it.")
    return Path(text)
