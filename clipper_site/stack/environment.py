"""The environment that every process of the stack gets, and its copy for a person's shell."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from clipper_site.stack.layout import HOST, LISTENS_ON, Layout, keep_secret, write_private
from clipper_site.stack.processes import MARK
from clipper_site.stack.redis_server import url as redis_server_url
from core.memory import total_bytes

# How the names of settings begin, and those of which a shell gets no copy.
SETTINGS = ("CLIPPER_", "DJANGO_", "REDIS_", "DATABASE_")
NOT_EXPORTED = frozenset({MARK, "DJANGO_SECRET_KEY", "DJANGO_SECRET_KEY_PREVIOUS"})

# The descriptor that listens on the stack's port, for the predict master.
LISTENING = "CLIPPER_LISTENING"
# For supervisord and the masters (`serving.master.orders`).
CONTROL_PASSWORD = "CLIPPER_CONTROL_PASSWORD"  # its name
DEFAULTS = {
    LISTENS_ON: HOST,
    "CLIPPER_PORT": "8000",
    "CLIPPER_WEB_WORKERS": "1",
    "CLIPPER_GPU_SLOTS": "0",
    "CLIPPER_WORKER_NICE": "5",
    "CLIPPER_CONSOLE_WORKERS": "1",
    "CLIPPER_CONSOLE_NICE": "10",
    "CLIPPER_CONSOLE_PORT": "0",
}


def cpu_slots(*, memory: int, cores: int) -> int:
    """Return how many replicas the CPU worker holds at once unless a setting says so."""
    return max(8, min(memory // (256 << 20), cores * 8, 64))


def defaults() -> dict[str, str]:
    """Return the settings that say what runs, and where, unless others are given."""
    slots = cpu_slots(memory=total_bytes(), cores=os.cpu_count() or 1)
    return DEFAULTS | {"CLIPPER_CPU_SLOTS": str(slots)}


def without_another_stack(base: Mapping[str, str]) -> dict[str, str]:
    """`base` less what a shell got from `env.sh`: that Redis and that key belong to that stack."""
    theirs = {"REDIS_URL", "DJANGO_SECRET_KEY"} if base.get("CLIPPER_REDIS_OURS") == "true" else ()
    return {name: value for name, value in base.items() if name not in theirs}


def environment_of(
    layout: Layout, *, secret_key: str, redis_server: Path | None, base: Mapping[str, str]
) -> dict[str, str]:
    """`base` plus all that supervisord.conf and the settings read; `redis_server` None = theirs."""
    ours = redis_server is not None
    # Set but empty counts as not set, as it does in the settings.
    # Ctrl-C ends the stack at once.
    usual = defaults() | {"CLIPPER_LAME_DUCK_S": "0"}
    chosen = {name: base.get(name) or default for name, default in usual.items()}
    return {
        **base,
        **chosen,
        MARK: str(layout.var),
        "DJANGO_SETTINGS_MODULE": "clipper_site.settings",
        "DJANGO_SECRET_KEY": secret_key,
        "REDIS_URL": redis_server_url(layout) if ours else base["REDIS_URL"],
        "CLIPPER_VAR": str(layout.var),
        "CLIPPER_RUN_DIR": str(layout.run_dir),
        CONTROL_PASSWORD: keep_secret(layout.control_password),
        LISTENS_ON: layout.host,
        "CLIPPER_PORT": str(layout.port),
        "CLIPPER_PYTHON": sys.executable,
        # No worker for no slots.
        "CLIPPER_GPU_WORKER": "false" if chosen["CLIPPER_GPU_SLOTS"].strip("0") == "" else "true",
        "CLIPPER_REDIS_OURS": "true" if ours else "false",
        # Never started without a server of ours, but supervisord.conf must still be complete.
        "CLIPPER_REDIS_SERVER": str(redis_server or "the one of REDIS_URL"),
    }


def write_environment_script(layout: Layout, *, environment: Mapping[str, str]) -> None:
    """`. var/env.sh` makes manage.py and supervisorctl in that shell speak of this stack."""
    names = sorted(
        name for name in environment if name.startswith(SETTINGS) and name not in NOT_EXPORTED
    )
    exported = {name: shlex.quote(environment[name]) for name in names}
    exported["DJANGO_SECRET_KEY"] = f'"{_content_of(layout.secret_key)}"'
    exported[CONTROL_PASSWORD] = f'"{_content_of(layout.control_password)}"'
    if environment["CLIPPER_REDIS_OURS"] == "true":
        password = _content_of(layout.redis_password)
        exported["REDIS_URL"] = f'"unix://:{password}@{layout.redis_socket}?db=0"'
    lines = [f"export {name}={value}" for name, value in exported.items()]
    write_private(layout.environment_script, text="\n".join([*lines, ""]))


def environment_of_running(script: Path) -> dict[str, str]:
    """Return this shell's environment with the settings of the stack that wrote the `env.sh`."""
    shell = {
        name: value
        for name, value in os.environ.items()
        if name in NOT_EXPORTED or not name.startswith(SETTINGS)
    }
    command = ["/bin/sh", "-c", '. "$0" && exec env -0', str(script.resolve())]
    said = subprocess.run(command, env=shell, capture_output=True, text=True, check=True).stdout
    pairs = (line.partition("=") for line in said.split("\0"))
    # A secret key that was given to `make run` is in no file, and empty here.
    return shell | {name: value for name, _, value in pairs if value}


def _content_of(secret: Path) -> str:
    """For the shell to read: secrets stay in files of their own."""
    return f"$(cat {shlex.quote(str(secret))})"
