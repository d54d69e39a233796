"""Where the web process spends its time: py-spy's samples, and the functions that lead them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

RATE = 250
START_SECONDS = 3
# The frame below which uvicorn runs its event loop.
EVENT_LOOP = "uvicorn/server.py"


class ProfilerMissing(Exception):
    """py-spy isn't installed."""


def profiler() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    found = shutil.which("py-spy") or (str(beside) if beside.exists() else None)
    if found is None:
        raise ProfilerMissing("--profile needs py-spy: .venv/bin/python -m pip install py-spy")
    return found


def record(pid: int, *, seconds: int, to: Path) -> subprocess.Popen[bytes]:
    """Start sampling; when the process has ended, `to` holds one stack and its count a line."""
    command = [profiler(), "record", "--pid", str(pid), "--duration", str(seconds)]
    options = ["--rate", str(RATE), "--format", "raw", "--output", str(to)]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A function's share of all samples: in itself, and with all that it called."""

    function: str
    own: float
    whole: float


def costs(stacks: str, *, top: int = 40) -> list[Cost]:
    """Read py-spy's raw format, `outer (file:line);inner (file:line) count`; most own time first.

    Only the thread of the event loop counts. Lines of one function are added up.
    """
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    total = 0
    for line in stacks.splitlines():
        frames, _, count_text = line.rpartition(" ")
        if EVENT_LOOP not in frames:
            continue
        count = int(count_text)
        functions = [_function(frame) for frame in frames.split(";")]
        total += count
        own[functions[-1]] += count
        whole.update(dict.fromkeys(functions, count))
    return [
        Cost(function=function, own=count / total, whole=whole[function] / total)
        for function, count in own.most_common(top)
    ]


def _function(frame: str) -> str:
    """`name (file:12)` without its line."""
    head, colon, line = frame.rpartition(":")
    return f"{head})" if colon and line.rstrip(")").isdigit() else frame
