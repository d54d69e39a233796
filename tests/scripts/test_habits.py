"""Habits of a commit and of continuous integration: the same checks by each way."""

import re

import yaml

from clipper_site import ROOT
from tests.interpreter import run_python

CONFIG = ROOT / ".pre-commit-config.yaml"


def test_a_commit_checks_what_make_check_checks() -> None:
    checked = run_python("-m", "pre_commit", "validate-config", str(CONFIG))
    assert checked.returncode == 0, checked.stderr
    (repository,) = yaml.safe_load(CONFIG.read_text())["repos"]
    assert repository["repo"] == "local"
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert recipe[1].split()[-1] == repository["hooks"][0]["entry"]
