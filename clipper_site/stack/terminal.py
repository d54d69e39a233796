"""Words of the launcher to a person: lines on standard output, and errors of one line."""

from contextlib import suppress


class StackError(Exception):
    """The stack can't start or go on; the message is the one line that a person reads."""


class StopRequested(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP came. Not an Exception: nothing on the way may swallow it."""


def say(line: str = "") -> None:
    """Print a line if that is possible: no stack ends for want of a terminal or of a disk."""
    with suppress(OSError):
        print(line, flush=True)
