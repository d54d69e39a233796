"""Tracebacks of a model's code, and the place of its crash: bounded and printable."""

import linecache
import re
import signal
from collections import deque
from contextlib import suppress
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import NamedTuple

from serving.container.failures.container_errors import (
    ContainerError,
    explain,
    let_interrupts_through,
)
from serving.rpc.text import safe_text

MOST_FRAMES = 24  # of each exception, half of them the innermost
MOST_CHARACTERS = 8000

# Frames that lead to a model's own code.
_FOLDER = f"{Path(__file__).resolve().parents[1]}/"
_OURS = (_FOLDER, "<frozen importlib")
# A model's folder is another one in each process: nobody can open it there later.
_UNPACKED = re.compile(r"^.*/clipper-model-\d+-[^/]+/")
# As faulthandler writes where a signal broke a process.
_BROKEN = re.compile(r"^Fatal Python error: (?P<how>.*)$", re.MULTILINE)
_FRAME = re.compile(r'^  File "([^"\n]*)", line (\d+) in (.*)$', re.MULTILINE)
# Our frames in which a process waits for a batch.
_WAITING = (f"{_FOLDER}__main__.py", f"{_FOLDER}server/serve.py")


class StackFrame(NamedTuple):
    file: str
    line: int
    function: str


def traceback_of(error: BaseException) -> str:
    """Render the model's frames of an error and its causes, "" for none; never raises."""
    if isinstance(error, ContainerError) and not error.of_model:
        return ""
    try:
        parts = [_one(raised) for raised in _chain(_of_model(error)) if raised.__traceback__]
    except BaseException as odd:  # an exception of the model's may be anything
        let_interrupts_through(odd)
        return ""
    return safe_text("\n".join(part for part in parts if part), most=MOST_CHARACTERS)


def keep_sources(error: BaseException) -> None:
    """Read the lines that the traceback will quote, before their files go."""
    for raised in _chain(_of_model(error)):
        for frame in _frames(raised.__traceback__):
            linecache.getline(frame.file, frame.line)


def shown_file(file: str) -> str:
    """A file's name as it is shown: of the model's own without its folder."""
    return _UNPACKED.sub("", file)


def innermost(traceback: str) -> str:
    """The last frames of a rendered traceback, without the exception's own text."""
    frames = [line for line in traceback.splitlines() if line.startswith("  ")]
    return "\n".join(safe_text(line, most=200) for line in frames[-12:])


def place_of(error: BaseException) -> str:
    """Name the kind of an exception and the innermost line of the model: equal for equal faults."""
    try:
        frames = _frames(_of_model(error).__traceback__)
        place = f"{shown_file(frames[-1].file)}:{frames[-1].line}" if frames else "nowhere"
        return safe_text(f"{type(error).__name__} at {place}", most=300)
    except BaseException as odd:
        let_interrupts_through(odd)
        return "an exception that cannot be looked at"


def _of_model(error: BaseException) -> BaseException:
    while isinstance(error, ContainerError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _chain(error: BaseException) -> list[BaseException]:
    """Return the exception after its causes."""
    chain = [error]
    while len(chain) < 3:
        last = chain[-1]
        context = None if last.__suppress_context__ else last.__context__
        cause = last.__cause__ or context
        if cause is None or any(cause is known for known in chain):
            break
        chain.append(cause)
    return chain[::-1]


def _one(error: BaseException) -> str:
    frames = _frames(error.__traceback__)
    lines = ["Traceback (most recent call last):"]
    for frame in frames:
        lines.append(f'  File "{shown_file(frame.file)}", line {frame.line}, in {frame.function}')
        if source := linecache.getline(frame.file, frame.line).strip():
            lines.append(f"    {source}")
    if isinstance(error, SyntaxError) and error.filename:
        # It was raised for a line that never ran.
        lines.append(f'  File "{shown_file(error.filename)}", line {error.lineno}')
        lines += [f"    {(error.text or '').strip()}"] * bool(error.text)
    if len(lines) == 1:
        return ""
    return "\n".join([*lines, explain(error)])


def _frames(traceback: TracebackType | None) -> list[StackFrame]:
    """Return the model's frames: those after our own, without the middle."""
    first: list[StackFrame] = []
    last: deque[StackFrame] = deque(maxlen=MOST_FRAMES // 2)
    for running, line in walk_tb(traceback):
        code = running.f_code
        frame = StackFrame(code.co_filename, line or 0, code.co_qualname)
        if not first and frame.file.startswith(_OURS):
            continue
        (first if len(first) < MOST_FRAMES // 2 else last).append(frame)
    return [*first, *last]


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
    ours = [number for number, (file, _, _) in enumerate(frames) if file.startswith(_FOLDER)]
    if ours and frames[ours[-1]][0] in _WAITING:
        return ""  # it waited for a batch
    frames = frames[ours[-1] + 1 :] if ours else frames
    while frames and frames[0][0].startswith("<frozen "):
        del frames[0]
    if not frames or frames[-1][0].startswith("<frozen "):
        return ""
    lines = [
        f'  File "{shown_file(file)}", line {line}, in {function}'
        for file, line, function in frames[-MOST_FRAMES:]
    ]
    text = "\n".join(["Traceback (most recent call last):", *lines, broken[-1]["how"]])
    return safe_text(text, most=MOST_CHARACTERS)
