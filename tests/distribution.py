"""Which process of several runs which tests, and in which order (loaded with `-p`).

What tests share is dear: a running stack, a browser, a database. So each process gets whole files,
and one of them all that ask the same stack. What takes longest begins first.
"""

from __future__ import annotations

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


class WholeFiles(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((of for folder, of in SHARED.items() if file.startswith(folder)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> WholeFiles:
    config.option.loadscopereorder = False
    return WholeFiles(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    for place, folder in enumerate(LONGEST_FIRST):
        if item.nodeid.startswith(folder):
            return place
    return len(LONGEST_FIRST)
