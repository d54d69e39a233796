"""The place at which a signal broke a process, as faulthandler wrote it."""

import re
import signal
from contextlib import suppress
from pathlib import Path

from serving.container.failures.recent_failures import Failure
from serving.container.failures.tracebacks import MOST_CHARACTERS, MOST_FRAMES, shown_file
from serving.rpc.text import safe_text

_BROKEN = re.compile(r"^Fatal Python error: (?P<how>.*)$", re.MULTILINE)
_FRAME = re.compile(r'^  File "([^"\n]*)", line (\d+) in (.*)$', re.MULTILINE)
# Frames that lead to a model's own code: the program, the event loop, and imports.
_OURS = f"{Path(__file__).resolve().parents[1]}/"
_PROGRAM, _LOOP = f"{_OURS}__main__.py", f"{_OURS}server/serve.py"
_IMPORTS = "<frozen "


def broken(reason: str, *, output: str) -> Failure:
    """The failure of a process that could not say itself what is wrong, and where it was."""
    where = crash_in(output)
    # Equal for equal faults.
    return Failure(kind=where or reason, error=reason, traceback=where)


def last_line(output: str) -> str:
    """The last line that says something, apart from where a crash was; "" for none."""
    lines = _BROKEN.split(output)[0].splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def process_end(code: int) -> str:
    """Say how a process ended: "signal 11 (SIGSEGV)" or "exit code 1"."""
    end = f"exit code {code}"
    if code < 0:
        end = f"signal {-code}"
        with suppress(ValueError):  # of one of the real-time signals
            end += f" ({signal.Signals(-code).name})"
    return end


def crash_in(output: str) -> str:
    """Return the model's frames in the output of a broken process; "" if there are none."""
    broken = list(_BROKEN.finditer(output))
    if not broken:
        return ""
    frames = _FRAME.findall(output[broken[-1].end() :])[::-1]  # the innermost comes first
    ours = [number for number, (file, _, _) in enumerate(frames) if file.startswith(_OURS)]
    if ours and frames[ours[-1]][0] in (_PROGRAM, _LOOP):
        return ""  # it waited for a batch
    frames = frames[ours[-1] + 1 :] if ours else frames
    while frames and frames[0][0].startswith(_IMPORTS):
        del frames[0]
    if not frames or frames[-1][0].startswith(_IMPORTS):
        return ""
    lines = [
        f'  File "{shown_file(file)}", line {line}, in {function}'
        for file, line, function in frames[-MOST_FRAMES:]
    ]
    text = "\n".join(["Traceback (most recent call last):", *lines, broken[-1]["how"]])
    return safe_text(text, most=MOST_CHARACTERS)
