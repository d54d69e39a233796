"""The listener that ends orphans speaks supervisord's protocol, and ends with supervisord."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from scripts.stack.layout import ROOT

PAYLOAD = "processname:predict groupname:predict from_state:RUNNING expected:0 pid:7"
EVENT = f"ver:3.0 server:clipper serial:1 pool:orphans poolserial:1 len:{len(PAYLOAD)}"
EVENT += f" eventname:PROCESS_STATE_EXITED\n{PAYLOAD}"


def test_each_event_is_acknowledged_and_the_next_one_awaited(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "end_orphans.py"],
        env={**os.environ, "CLIPPER_VAR": str(tmp_path)},
        input=EVENT * 2,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "READY\nRESULT 2\nOKREADY\nRESULT 2\nOKREADY\n"
