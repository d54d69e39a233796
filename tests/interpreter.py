"""Python in a process of its own, at the root of the checkout."""

import subprocess
import sys
from typing import Any

from clipper_site import ROOT


def run_python(
    *arguments: str, timeout_s: float = 150.0, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, whichever that is; `options` are those of `subprocess.run`."""
    defaults = {"cwd": ROOT, "capture_output": True, "text": True, "check": False}
    command = [sys.executable, *arguments]
    return subprocess.run(command, timeout=timeout_s, **(defaults | options))  # type: ignore[call-overload]  # options of any kind
