"""`make test-pythons` on a machine that has no other Python and can download none."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from clipper_site import ROOT


@pytest.mark.parametrize(
    ("versions", "returncode", "named"),
    [([], 0, ["3.13", "3.12"]), (["3.13"], 1, ["3.13"])],
    ids=["left out", "asked for"],
)
def test_a_python_that_is_missing_is_named_and_fails_if_asked_for(
    versions: list[str], returncode: int, named: list[str], tmp_path: Path
) -> None:
    script = tmp_path / "scripts/test-pythons"
    script.parent.mkdir()
    shutil.copy(ROOT / "scripts/test-pythons", script)
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    for program in ("python", "uv"):
        (programs / program).symlink_to("/bin/false")

    done = subprocess.run(
        ["bash", script, *versions],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == returncode, done.stderr
    assert re.findall(r"there is no Python (3\.\d+)\.", done.stdout) == named
