"""A build that failed is tried again after a pause: sooner where its reason may pass by itself."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from serving.container.failures.container_errors import EnvironmentFailed
from serving.environments.failed import AWAY_PAUSE_S, PAUSE_S, FailedBuild, read_failed
from serving.environments.spec import EnvironmentSpec
from serving.environments.store import Environments
from tests.serving.environments.wheels import make_wheel, needs, offline

GRILL = needs("grill")


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(tmp_path / "environments", rules=offline(tmp_path))


@pytest.fixture
def nobody_there() -> Iterator[str]:
    """Yield an address where an index could be."""
    with socket.socket() as taken:  # bound and not listening: each connection is refused
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/simple"


def refused(
    environments: Environments, spec: EnvironmentSpec = GRILL, *, afresh: bool = False
) -> EnvironmentFailed:
    with pytest.raises(EnvironmentFailed) as refusal:
        environments.prepare(spec, afresh=afresh)
    return refusal.value


def kept(environments: Environments) -> FailedBuild:
    failed = read_failed(environments.root / f"{GRILL.digest}.failed")
    assert failed is not None
    return failed


def grown_older(environments: Environments, *, by_s: float) -> None:
    failed = kept(environments)
    older = msgspec.structs.replace(failed, at=failed.at - by_s)
    older.write(environments.root / f"{GRILL.digest}.failed")


def test_it_is_told_again_and_not_tried_for_a_while_unless_asked_for(
    environments: Environments,
) -> None:
    first = refused(environments)
    again = refused(environments)
    assert (str(again), again.remembered) == (str(first), True)
    assert not refused(environments, afresh=True).remembered
    grown_older(environments, by_s=PAUSE_S)
    assert not refused(environments).remembered


def test_it_is_tried_at_once_where_the_operator_has_changed_the_rules(
    environments: Environments, tmp_path: Path
) -> None:
    refused(environments)
    make_wheel(tmp_path / "elsewhere", "grill")
    more = replace(environments.rules, index_url="http://user:secret@pypi.example.com/simple")
    environments.rules = more
    assert not refused(environments).remembered
    assert "secret" not in (environments.root / f"{GRILL.digest}.failed").read_text()


def test_an_index_that_is_away_is_asked_again_soon(tmp_path: Path, nobody_there: str) -> None:
    rules = offline(tmp_path, no_index=False, index_url=nobody_there)
    environments = Environments(tmp_path / "environments", rules=rules)
    assert "Connection refused" in str(refused(environments))
    assert refused(environments).remembered
    grown_older(environments, by_s=AWAY_PAUSE_S)
    assert not refused(environments).remembered
