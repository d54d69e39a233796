"""Which process of several runs which tests, and in which order (loaded with `-p`).

What tests share is dear: a running stack, a browser, a database. So each process gets whole files,
and one of them all that ask the same stack. What takes longest begins first.

Of several processes, none collects what another one runs: to xdist, a file is one test. Who runs it
imports it then, and tells of each test in it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from xdist.scheduler import LoadScopeScheduling

# What their files share can't be in two processes: a stack, a browser, a server.
SHARED = {
    "tests/integration/": "stack",
    "tests/clients/": "stack of the clients",
    "tests/browser/": "browser",
    "tests/docs/test_site": "browser",
    "tests/site/test_postgresql": "PostgreSQL",
    # The modules whose `stack` is the shared one.
    "tests/serving/cluster/running/": "cluster",
}
# What takes several seconds goes before what doesn't, so that all end at once.
LONGEST_FIRST = (
    "tests/integration/",
    "tests/clients/",
    "tests/serving/cluster/replica/test_replica_limits",
    "tests/serving/cluster/running/",
    "tests/serving/cluster/",
    "tests/browser/",
    "tests/docs/test_site",
    "tests/site/test_postgresql",
    # These wait for half a minute and need no processor.
    "tests/serving/web/test_registry_follower",
    "tests/scripts/test_full_disk",
    "tests/serving/environments/",
    "tests/serving/http/",
    "tests/serving/endpoints/",
    "tests/serving/master/",
    "tests/serving/container/",
    "tests/serving/engine/",
    "tests/selection/what_if/",
    "tests/selection/",
    "tests/registry/",
    "tests/site/",
)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    one_of_several = hasattr(config, "workerinput")
    if one_of_several and not any("::" in argument for argument in config.args):
        config.pluginmanager.register(ByFile())


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


class WholeFiles(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((of for folder, of in SHARED.items() if file.startswith(folder)), file)

    def _reschedule(self, node: Any) -> None:
        """Give a process no more than it has to know of: what it runs, and what comes next."""
        if self.workqueue and self._pending_of(self.assigned_work[node]) > 1:
            return
        super()._reschedule(node)


class ByFile:
    """In each of several processes: a file is collected when it is run."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(
        self, module_path: Path, parent: pytest.Collector
    ) -> UnopenedFile:
        return UnopenedFile.from_parent(parent, path=module_path)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iterator[None]:
        unopened = [item for item in items if isinstance(item, ItsTests)]
        yield
        if unopened:
            # Nobody knows yet which of their tests are wanted.
            items[:] = sorted(unopened, key=_place)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        if not isinstance(item, ItsTests):
            _run(item, nextitem=nextitem)
            return True
        session = item.session
        at = session.items.index(item)
        tests = item.collected()
        if not tests:
            # What is left of the tests before, and not for the next ones, is ended all the same.
            for report in runtestprotocol(item, nextitem=nextitem, log=False):
                if report.failed:
                    item.config.hook.pytest_runtest_logreport(report=report)
            return True
        for test, following in zip(tests, [*tests[1:], nextitem], strict=True):
            session.items[at] = test  # of which xdist expects to be told
            item.config.hook.pytest_runtest_protocol(item=test, nextitem=following)
            if session.shouldfail or session.shouldstop:
                break
        session.items[at] = item
        return True


def _run(item: pytest.Item, *, nextitem: pytest.Item | None) -> None:
    """Tell of a test that passed that it did, and of any other all that was said in its steps.

    Five messages for each test, from process to process, took 2 ms.
    """
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    passed = all(report.passed for report in reports)
    for report in reports:
        if report.when == "call" or not passed:
            item.config.hook.pytest_runtest_logreport(report=report)


class UnopenedFile(pytest.File):
    def collect(self) -> Iterator[ItsTests]:
        yield ItsTests.from_parent(self, name="tests")


class ItsTests(pytest.Item):
    """Stands for all tests of a file, which has not been imported yet."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.add_marker(pytest.mark.timeout(0))  # each of them has its own
        self.add_marker(pytest.mark.django_db)  # some of them may want it

    def collected(self) -> list[pytest.Item]:
        """Those that are wanted; what can't be imported is told."""
        gc.disable()  # as in `tests.environment`
        module = pytest.Module.from_parent(self.parent.parent, path=self.path)
        tests = list(self.session.genitems(module))
        self.config.hook.pytest_collection_modifyitems(
            session=self.session, config=self.config, items=tests
        )
        gc.collect()
        gc.freeze()
        gc.enable()
        return tests

    def runtest(self) -> None:
        """Nothing: there are none."""
