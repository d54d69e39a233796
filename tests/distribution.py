"""Which process of several runs which tests, and in which order (loaded with `-p`).

What tests share is dear: a running stack, a browser, a database. So each process gets whole files,
and one of them all that ask the same stack. What takes longest begins first.

Each process collects all tests. pytest writes down how it compiled a module: they begin at another
module each, and find the others compiled.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# What their files share can't be in two processes: a stack, a browser and the built documentation.
SHARED = {
    "tests/integration/": "stack",
    "tests/clients/": "stack of the clients",
    "tests/browser/": "browser",
    "tests/docs/test_site": "browser",
    # Those modules whose `stack` is the shared one.
    "tests/serving/cluster/test_crashes": "cluster",
    "tests/serving/cluster/test_environments": "cluster",
    "tests/serving/cluster/test_gpu": "cluster",
    "tests/serving/cluster/test_reports": "cluster",
    "tests/serving/cluster/test_signatures": "cluster",
    "tests/serving/cluster/test_stack": "cluster",
}
LONGEST_FIRST = (
    "tests/integration/",
    "tests/clients/",
    "tests/frameworks/",
    "tests/upgrade/",
    "tests/serving/cluster/",
    "tests/site/test_postgresql",
    "tests/browser/",
    "tests/docs/test_site",
    "tests/scripts/",
    "tests/serving/environments/",
)

ROOT = Path(__file__).resolve().parents[1]


class WholeFiles(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((of for folder, of in SHARED.items() if file.startswith(folder)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> WholeFiles:
    config.option.loadscopereorder = False
    return WholeFiles(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    worker = getattr(session.config, "workerinput", None)
    if worker is None:
        return
    number, of = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    folders = [ROOT / argument for argument in session.config.args]
    for file in sorted(file for folder in folders for file in folder.rglob("test_*.py"))[
        number::of
    ]:
        # What can't be imported is told where it is collected.
        with suppress(Exception):
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    for place, folder in enumerate(LONGEST_FIRST):
        if item.nodeid.startswith(folder):
            return place
    return len(LONGEST_FIRST)
