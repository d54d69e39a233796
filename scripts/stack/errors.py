"""What the launcher raises: one line for a person, or the wish to stop."""

from __future__ import annotations


class StackError(Exception):
    """The stack can't start or go on; the message is the one line that a person reads."""


class StopRequested(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP came. Not an Exception: nothing on the way may swallow it."""
