"""Habits of a commit and of continuous integration: the same checks by each way."""

import re
import subprocess
import sys

import yaml

from clipper_site.stack.layout import ROOT

CONFIG = ROOT / ".pre-commit-config.yaml"


def test_a_commit_checks_what_make_check_checks() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-config", str(CONFIG)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    (repository,) = yaml.safe_load(CONFIG.read_text())["repos"]
    assert repository["repo"] == "local"
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert recipe[1].split()[-1] == repository["hooks"][0]["entry"]
