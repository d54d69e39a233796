"""supervisord, kept alive while its logs, or those of its programs, can't be written.

As it comes, it reports that on standard error, which lies on the same full disk, and dies of the
second failure; every program ends with it. Lines that can't be written are lost here, and nothing
else is.
"""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path

from supervisor.loggers import RotatingFileHandler  # type: ignore[import-untyped]


class UnfailingError(io.TextIOBase):
    """Standard error for those who can't do anything about it where it can't be written."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with suppress(OSError):
            os.write(2, text.encode(errors="replace"))
        return len(text)


def keep_on_logging() -> None:
    """Let no log of this process's supervisord be the end of it."""
    sys.stderr = UnfailingError()
    roll_over = RotatingFileHandler.doRollover

    def roll_over_or_reopen(handler: RotatingFileHandler) -> None:
        try:
            roll_over(handler)
        except (OSError, ValueError):
            # The file may be closed by now, and stays so until there is room for another.
            with suppress(OSError):
                handler.stream = Path(handler.baseFilename).open("ab")  # noqa: SIM115  # kept open

    RotatingFileHandler.doRollover = roll_over_or_reopen


if __name__ == "__main__":
    from supervisor import supervisord  # type: ignore[import-untyped]

    keep_on_logging()
    supervisord.main()
