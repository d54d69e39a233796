"""A web process follows the registry by its change number, and heals if an announcement is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from core.loop.background_tasks import end_tasks
from core.specs import APPLICATION, KEY, Snapshot
from registry.following.followers import everyone_followed
from registry.following.row_changes import (
    Piece,
    RowChange,
    RowKey,
    RowReading,
    changed,
    specs_by_row,
)
from selection.store.redis_keys import REDIS_ERRORS
from serving.metrics.event_loop import LoopWatch
from serving.testing import application_spec, key_spec, snapshot_of, version_spec
from serving.web.registry_follower import SLICE, RegistryFollower, RegistrySource

LONG_S = 15.0
pytestmark = pytest.mark.timeout(120)


class Registry:
    """A registry in memory with change numbers."""

    def __init__(self) -> None:
        self.snapshot = snapshot_of(application_spec(), keys=[key_spec()])
        self.changes: dict[RowKey, int] = {}
        self.number = 0
        self.newer: list[int] = []
        self.whole = 0
        self.fails = False
        # Rows that can't be read.
        self.broken: set[RowKey] = set()

    def change(self, snapshot: Snapshot) -> int:
        """Make the registry this, and record what that changes."""
        before, after = specs_by_row(self.snapshot), specs_by_row(snapshot)
        for row in before.keys() | after.keys():
            if before.get(row) != after.get(row):
                self.number += 1
                self.changes[row] = self.number
        self.snapshot = snapshot
        return self.number

    def touch(self, *rows: RowKey) -> int:
        for row in rows:
            self.number += 1
            self.changes[row] = self.number
        return self.number

    def last_number(self) -> int:
        self._look()
        self.whole += 1
        return self.number

    def read_newer(self, number: int) -> RowReading | None:
        self._look()
        self.newer.append(number)
        if number > self.number:
            return None
        return self._reading(row for row, at in self.changes.items() if at > number)

    def read_piece(self, kind: str, after: int) -> Piece:
        self._look()
        return Piece(self._reading(r for r in specs_by_row(self.snapshot) if r[0] == kind), None)

    def _reading(self, rows: Any) -> RowReading:
        there = specs_by_row(self.snapshot)
        specs = {row: None if row in self.broken else there.get(row) for row in rows}
        faults = {row: "ValueError: no number" for row in specs if row in self.broken}
        return RowReading(self.number, specs, faults)

    def _look(self) -> None:
        if self.fails:
            raise OSError("the database is away")


class Served:
    """A served snapshot that follows the registry, with a note of each slice of changes."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.slices: list[int] = []
        self.seen: list[Snapshot] = []

    def apply(self, changes: list[RowChange], /) -> None:
        self.slices.append(len(changes))
        self.snapshot = changed(self.snapshot, changes)
        self.seen.append(self.snapshot)

    def forget_gone(self) -> None:
        """Nothing is counted here."""


class Web:
    """A process that follows."""

    def __init__(self, client: Redis) -> None:
        self.registry, self.served, self.client = Registry(), Served(), client
        self.follower = RegistryFollower(
            client,
            process_id="web",
            source=RegistrySource(
                last_number=self.registry.last_number,
                read_newer=self.registry.read_newer,
                read_piece=self.registry.read_piece,
            ),
            following=self.served,
            in_thread=asyncio.to_thread,
            watch=LoopWatch(),
        )
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.follower.start()
        await self.follower.publish()
        self.tasks = [asyncio.create_task(self.follower.run()), asyncio.create_task(self._live())]

    async def _live(self) -> None:
        """Publish its number again and again, as the runtime does."""
        while True:
            with suppress(*REDIS_ERRORS):
                await self.follower.publish()
            await asyncio.sleep(1.0)

    def change(self, snapshot: Snapshot, *, announced: bool = True) -> int:
        number = self.registry.change(snapshot)
        if announced:
            self.follower.hear()
        return number

    def with_slo(self, slo_ms: float) -> Snapshot:
        known = self.registry.snapshot.applications["digits"]
        digits = replace(known, slo_ms=slo_ms)
        return replace(self.registry.snapshot, applications={"digits": digits})

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(LONG_S):
            while not holds():
                await asyncio.wait([self.follower.next_look], timeout=0.05)

    @property
    def slo_ms(self) -> float:
        return self.served.snapshot.applications["digits"].slo_ms


@pytest.fixture
async def web(server_redis: redis.Redis, redis_socket: str) -> AsyncIterator[Web]:
    async with Redis(unix_socket_path=redis_socket) as client:
        web = Web(client)
        await web.start()
        yield web
        await end_tasks(web.tasks)


@pytest.fixture
def looks_at_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.web.registry_follower.WHOLE_LOOK_S", 0.0)


async def test_a_row_that_cannot_be_read_stays_but_a_key_goes(web: Web) -> None:
    ((digest, key),) = web.served.snapshot.keys.items()
    rows = (KEY, key.id), (APPLICATION, 1)
    web.registry.broken = set(rows)
    web.registry.touch(*rows)
    web.follower.hear()
    await web.until(lambda: set(web.follower.faults) == set(rows))
    assert web.follower.describe_faults()
    assert "digits" in web.served.snapshot.applications
    assert digest not in web.served.snapshot.keys
    web.registry.broken = set()
    web.registry.touch(*rows)
    web.follower.hear()
    await web.until(lambda: web.follower.describe_faults() == "")
    assert digest in web.served.snapshot.keys


async def test_a_writer_can_wait_until_its_change_is_followed(web: Web) -> None:
    for slo_ms in (20.0, 30.0, 40.0):
        number = web.change(web.with_slo(slo_ms))
        assert await everyone_followed(web.client, number, timeout_s=LONG_S)
        assert web.slo_ms == slo_ms
    assert web.registry.whole == 1  # at the start


async def test_a_lost_announcement_costs_a_second(web: Web) -> None:
    number = web.change(web.with_slo(20.0), announced=False)
    assert await everyone_followed(web.client, number, timeout_s=LONG_S)
    assert web.slo_ms == 20.0


@pytest.mark.usefixtures("looks_at_everything")
async def test_what_was_never_recorded_is_found_by_a_look_at_everything(web: Web) -> None:
    web.registry.snapshot = web.with_slo(20.0)
    await web.until(lambda: web.slo_ms == 20.0)
    web.registry.snapshot = Snapshot()
    await web.until(lambda: not web.served.snapshot.applications)


async def test_a_registry_with_another_history_is_read_whole(web: Web) -> None:
    number = web.change(web.with_slo(20.0))
    assert await everyone_followed(web.client, number, timeout_s=LONG_S)
    web.registry.snapshot, web.registry.number = web.with_slo(30.0), 0
    await web.until(lambda: web.slo_ms == 30.0)
    assert web.follower.followed == 0


async def test_a_database_that_is_away_is_followed_once_it_is_back(web: Web) -> None:
    web.registry.fails = True
    number = web.change(web.with_slo(20.0))
    assert not await everyone_followed(web.client, number, timeout_s=0.2)
    web.registry.fails = False
    assert await everyone_followed(web.client, number, timeout_s=LONG_S)
    assert web.slo_ms == 20.0


async def test_many_changes_are_applied_in_slices(web: Web) -> None:
    many = [application_spec(id=number, name=f"a{number}") for number in range(2, 1002)]
    number = web.change(snapshot_of(application_spec(), *many))
    assert await everyone_followed(web.client, number, timeout_s=LONG_S)
    assert len(web.served.snapshot.applications) == 1001
    assert max(web.served.slices) <= SLICE


@pytest.mark.parametrize("redis_is_there", [True, False])
async def test_a_caller_can_wait_for_what_was_just_made(web: Web, redis_is_there: bool) -> None:
    if not redis_is_there:
        web.client.connection_pool.connection_kwargs["path"] = "/nonexistent"
        await web.client.connection_pool.disconnect()
    web.change(snapshot_of(application_spec(id=2, name="new")), announced=False)
    async with asyncio.timeout(LONG_S):
        while "new" not in web.served.snapshot.applications:
            await web.follower.catch_up()  # waits for a moment, which a busy machine may outlast


async def test_many_callers_share_a_look(web: Web) -> None:
    await asyncio.gather(*(web.follower.catch_up() for _ in range(200)))
    assert len(web.registry.newer) <= 5


async def test_what_refers_to_a_version_goes_before_it(web: Web) -> None:
    """A query never finds the application without its version."""
    web.change(snapshot_of(application_spec(), versions=[version_spec(9)]))
    await web.until(lambda: 9 in web.served.snapshot.versions)
    web.served.seen.clear()
    web.change(Snapshot())
    await web.until(lambda: 9 not in web.served.snapshot.versions)
    seen = [("digits" in each.applications, 9 in each.versions) for each in web.served.seen]
    assert (True, False) not in seen
