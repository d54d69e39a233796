"""Folders for what models unpack, which go with the process that made them, however it ended."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

PREFIX = "clipper-model-"
_NAME = re.compile(rf"{PREFIX}(\d+)-")


def new_folder() -> Path:
    """Make a folder for this process, and remove those of processes that were killed.

    A model that kills its replica again and again would else fill the disk.
    """
    parent = Path(tempfile.gettempdir()).resolve()
    for folder in parent.glob(f"{PREFIX}*"):
        made_by = _NAME.match(folder.name)
        if made_by is not None and not _is_there(int(made_by[1])):
            shutil.rmtree(folder, ignore_errors=True)  # it removes no other user's, and no links
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True  # another user's, or nobody's number
    return True
