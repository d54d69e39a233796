"""Questions of tests to processes that may end at any moment."""

import psutil


def command_of(process: psutil.Process) -> list[str]:
    """The command line of a process, empty for one that has ended, reaped or not."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []
