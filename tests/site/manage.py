"""`manage.py` and short programs in an environment of their own, as an operator's shell has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECRET = "k" * 30 + "0123456789abcdefghijklmnop"


def run(
    *arguments: str, var: Path, timeout_s: float = 50.0, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run Python with these settings and no others; "" takes one away."""
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
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=inherited | {name: value for name, value in chosen.items() if value},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def check(*, var: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    return run("manage.py", "check", var=var, **settings)
