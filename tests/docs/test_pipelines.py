"""Pipelines of the documentation and of releases, valid by GitHub's and GitLab's schemas."""

import subprocess
import sys
from pathlib import Path

import pytest

from clipper_site import ROOT
from tests.integration.tutorials.pipelines import scripts_of
from tests.integration.tutorials.reader import BLOCK, EVERY, SAVED

# As check-jsonschema brings them; GitLab's `!reference` is a tag of its own.
SCHEMAS = {
    ".github/": ["--builtin-schema", "vendor.github-workflows"],
    ".gitlab-ci.yml": ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
}


def pipelines() -> dict[str, str]:
    found = {}
    for page in EVERY:
        text = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            name = SAVED.search(text, 0, block.start())
            if name is not None and scripts_of(name[1], block[2]):
                found[name[1]] = block[2]
    return found


RELEASE = ".github/workflows/release.yml"
PIPELINES = pipelines() | {RELEASE: (ROOT / RELEASE).read_text()}


def checked(name: str, text: str, *, folder: Path) -> subprocess.CompletedProcess[str]:
    """Ask check-jsonschema, which has the schemas with it."""
    file = folder / "pipeline.yml"
    file.write_text(text, encoding="utf-8")
    (schema,) = [given for begin, given in SCHEMAS.items() if name.startswith(begin)]
    command = [sys.executable, "-m", "check_jsonschema", *schema, str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_there_is_one_of_each_kind() -> None:
    found = {kind for kind in SCHEMAS for name in pipelines() if name.startswith(kind)}
    assert found == {*SCHEMAS}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_is_one_by_its_schema(name: str, tmp_path: Path) -> None:
    good = checked(name, PIPELINES[name], folder=tmp_path)
    assert good.returncode == 0, good.stdout + good.stderr
    word = "runs-on" if name.startswith(".github/") else "script"
    assert checked(name, PIPELINES[name].replace(word, "x"), folder=tmp_path).returncode == 1
