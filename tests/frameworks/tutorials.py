"""The tutorials that are too much for `make test`, typed at a stack of their own."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frameworks.environments import WHEELHOUSE, too_large
from tests.frameworks.running import TESTED_WITHIN_S
from tests.integration.stack import Stack
from tests.integration.tutorials.reader import HEAVY, Reader


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="clipper-tutorials-"))
    running = Stack(var=folder / "var", settings={"CLIPPER_PIP_WHEELHOUSE": WHEELHOUSE})
    try:
        running.start()
        yield running
        assert running.stop() == 0, running.text
    finally:
        running.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(2 * TESTED_WITHIN_S)
@pytest.mark.parametrize("page", HEAVY, ids=lambda page: page.stem)
def test_a_heavy_tutorial_does_what_it_says(page: Path, stack: Stack, tmp_path: Path) -> None:
    if page.stem == "pytorch" and (reason := too_large("torch")):
        pytest.skip(reason)
    Reader(folder=tmp_path, stack=stack).follows(page.read_text(), within_s=1.5 * TESTED_WITHIN_S)
