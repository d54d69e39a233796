"""`manage.py` and short programs in an environment of their own, as an operator's shell has it."""

import os
import runpy
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import patch

from django.core.checks import run_checks
from django.test import override_settings

from tests.interpreter import run_python

ROOT = Path(__file__).resolve().parents[2]
SECRET = "k" * 30 + "0123456789abcdefghijklmnop"


def run(
    *arguments: str, var: Path, timeout_s: float = 150.0, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run Python with these settings and no others; "" takes one away."""
    return run_python(*arguments, timeout_s=timeout_s, env=environment(var=var, **settings))


def check(*, var: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    return run("manage.py", "check", var=var, **settings)


def checked(*, var: Path, **settings: str) -> str:
    """Return the checks' messages on these settings and no others, without a process of its own."""
    with patch.dict(os.environ, environment(var=var, **settings), clear=True):
        read = runpy.run_path(str(ROOT / "clipper_site" / "settings" / "__init__.py"))
        ours = {name: value for name, value in read.items() if name.startswith(("CLIPPER_", "ENV"))}
        with override_settings(SECRET_KEY_GIVEN=read["SECRET_KEY_GIVEN"], **ours):
            return "\n".join(str(found) for found in run_checks() if not found.is_silenced())


def environment(*, var: Path, **settings: str) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CLIPPER_", "DJANGO_", "DATABASE_", "REDIS_"))
    }
    chosen = {
        "DJANGO_SETTINGS_MODULE": "clipper_site.settings",
        "DJANGO_SECRET_KEY": SECRET,
        "CLIPPER_VAR": str(var),
        **settings,
    }
    return inherited | {name: value for name, value in chosen.items() if value}
