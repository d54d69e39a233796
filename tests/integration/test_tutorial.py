"""The tutorial does what it says: its commands are run as they stand, section after section."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from scripts.stack.layout import ROOT
from tests.integration.stack import Stack, eventually

PAGE = (ROOT / "docs/tutorial/own-model.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(section: str, *, language: str) -> list[str]:
    """The blocks of code of a section, which is named by the beginning of its heading."""
    text = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    found = next(part for part in text if part.startswith(section))
    return [code for name, code in BLOCK.findall(found) if name == language]


class Reader:
    """Somebody who types what the page says, in a copy of the repository's folder."""

    def __init__(self, *, folder: Path, stack: Stack) -> None:
        for path in ROOT.iterdir():
            (folder / path.name).symlink_to(path)
        (folder / "var").unlink(missing_ok=True)
        (folder / "var").symlink_to(stack.var)
        (folder / "wine.py").write_text(blocks("2.", language="python")[0])
        self._folder = folder
        self._url = stack.url
        # Everything that later sections take for granted.
        given = [blocks("1.", language="sh")[1], blocks("5.", language="sh")[0].splitlines()[0]]
        self._before = "\n".join(["set -euo pipefail", *given])

    def types(self, section: str) -> str:
        script = "\n".join([self._before, *blocks(section, language="sh")])
        typed = subprocess.run(
            ["bash", "-c", script.replace("http://127.0.0.1:8000", self._url)],
            cwd=self._folder,
            env={**os.environ, "VAR": "var"},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert typed.returncode == 0, typed.stdout + typed.stderr
        return typed.stdout


def selection(stack: Stack) -> dict[str, Any]:
    with stack.client() as client:
        answer = client.get("/api/v1/applications/which-wine/selection").json()
    return {arm["version"]: arm for arm in answer["arms"]}


def answered_by(stack: Stack) -> list[str]:
    wine = json.loads(re.search(r"^WINE='(.*)'$", PAGE, re.MULTILINE)[1])  # type: ignore[index]
    with stack.client() as client:
        answer = client.post("/api/v1/applications/which-wine/predict", json={"input": wine})
    return list(answer.json().get("models", {}))


def test_the_tutorial_does_what_it_says(stack: Stack, tmp_path: Path) -> None:
    reader = Reader(folder=tmp_path, stack=stack)
    # What it prints of accuracies is what the page shows.
    assert reader.types("2.") == blocks("2.", language="text")[0]
    assert "wine:1 is live." in reader.types("3.")
    assert '"name":"which-wine"' in reader.types("4.")
    eventually(lambda: answered_by(stack) == ["wine:1"], seconds=30, what="version 1 answers")
    asked = reader.types("5.")
    assert '"output":0,"default":false' in asked
    assert "expected 13 numbers, got 3" in asked
    released = reader.types("6.")
    assert "wine:2 is live." in released
    assert '"models":{"wine:2":0}' in released
    assert "wine:1 is live." in released
    assert '"accepted":45' in reader.types("7.")
    eventually(
        lambda: selection(stack)["2"]["weight"] > 0.8, seconds=30, what="version 2 is trusted"
    )
    reader.types("Where to go")
    with stack.client() as client:
        assert client.get("/api/v1/applications/which-wine").status_code == 404
        assert client.get("/api/v1/models/wine").status_code == 404
