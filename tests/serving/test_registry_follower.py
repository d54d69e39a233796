"""A web process follows the registry by its notices, and heals where one was lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from core.background import end_tasks
from core.changes import (
    APPLICATION,
    CHANGES_CHANNEL,
    KEY,
    NUMBER_KEY,
    PRIVATE,
    REVOKED,
    VERSION,
    announce,
)
from core.specs import ApplicationSpec, Snapshot
from registry.followers import Followers
from registry.row_changes import Known, Piece, RowChange, RowPlace, changed
from selection.store.keys import REDIS_ERRORS
from serving.metrics.event_loop import LoopWatch
from serving.testing import application_spec, key_spec, registry_of, snapshot_of, version_spec
from serving.web.registry_follower import COMPARED_IN_S, SLICE, RegistryFollower, RegistrySource

LONG_S = 15.0
pytestmark = pytest.mark.timeout(120)


class Registry:
    """A registry in memory: what it holds, how often it is read, and when it can't be."""

    def __init__(self) -> None:
        self.snapshot = snapshot_of(application_spec(), keys=[key_spec()])
        self.named: list[dict[str, set[int]]] = []
        self.compared = 0
        self.fails = False
        # Rows of which nothing can be made.
        self.broken: set[tuple[str, int]] = set()
        # Readings wait for this one, which is open unless a test closes it.
        self.gate = threading.Event()
        self.gate.set()
        self.reading = threading.Event()
        self._source = registry_of(lambda: self.snapshot)

    def read_rows(self, ids: Any, *, known: Known) -> Sequence[RowChange]:
        self._look()
        self.named.append({kind: set(found) for kind, found in ids.items()})
        found = self._source.read_rows(ids, known=known)
        self._hold()
        return [self._as_it_is(change) for change in found]

    def compare(self, place: RowPlace, *, known: Known) -> Piece:
        self._look()
        self.compared += 1
        found = self._source.compare(place, known=known)
        self._hold()
        return found._replace(changes=[self._as_it_is(change) for change in found.changes])

    def _as_it_is(self, change: RowChange) -> RowChange:
        if (change.kind, change.id) not in self.broken:
            return change
        return change._replace(spec=None, row=("broken",), fault="ValueError: no number")

    def _look(self) -> None:
        if self.fails:
            raise OSError("the database is away")

    def _hold(self) -> None:
        self.reading.set()
        assert self.gate.wait(LONG_S)

    def set(self, **changes: Any) -> None:
        """Let the application be so."""
        known = self.snapshot.applications["digits"]
        self.snapshot = replace(self.snapshot, applications={"digits": replace(known, **changes)})


class Served:
    """What follows."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.slices: list[int] = []

    def apply(self, changes: Sequence[RowChange], /) -> None:
        self.slices.append(len(changes))
        self.snapshot = changed(self.snapshot, changes)

    def application(self, application_id: int, /) -> ApplicationSpec | None:
        found = self.snapshot.applications.values()
        return next((spec for spec in found if spec.id == application_id), None)

    def compared(self) -> None:
        """Nothing is counted here."""


class Web:
    """One that follows, with what it hears."""

    def __init__(self, client: Redis, server: redis.Redis) -> None:
        self.registry, self.served = Registry(), Served()
        self.client, self.server = client, server
        self.followers = Followers(client)
        self.follower = RegistryFollower(
            client,
            process_id="web",
            source=RegistrySource(read_rows=self.registry.read_rows, compare=self.registry.compare),
            following=self.served,
            in_thread=asyncio.to_thread,
            watch=LoopWatch(),
        )
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.follower.start()
        pubsub = self.client.pubsub(ignore_subscribe_messages=True)
        await pubsub.subscribe(CHANGES_CHANNEL)
        await pubsub.get_message(timeout=LONG_S)
        self.tasks = [
            asyncio.create_task(self.follower.run()),
            asyncio.create_task(self._listen(pubsub)),
            asyncio.create_task(self._live()),
        ]

    async def _live(self) -> None:
        """Say again and again that it lives, as the runtime does."""
        while True:
            with suppress(*REDIS_ERRORS):
                await self.follower.tell()
            await asyncio.sleep(1.0)

    async def _listen(self, pubsub: Any) -> None:
        while True:
            message = await pubsub.get_message(timeout=LONG_S)
            if message is not None:
                self.follower.hear(message["data"])

    def announce(self, **ids: set[int]) -> None:
        announce(self.server, {kind: frozenset(found) for kind, found in ids.items()})

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(LONG_S):
            while not holds():
                await asyncio.wait([self.follower.next_look], timeout=0.05)

    @property
    def slo_ms(self) -> float:
        return self.served.snapshot.applications["digits"].slo_ms


@pytest.fixture
async def web(server_redis: redis.Redis, redis_socket: str) -> AsyncIterator[Web]:
    async with Redis(unix_socket_path=redis_socket) as client:
        web = Web(client, server_redis)
        await web.start()
        yield web
        web.registry.gate.set()
        await end_tasks(web.tasks)


@pytest.fixture
def seldom_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.web.registry_follower.COMPARED_IN_S", 3600.0)


async def test_a_row_of_which_nothing_can_be_made_stays_but_a_key_goes(web: Web) -> None:
    ((digest, key),) = web.served.snapshot.keys.items()
    web.registry.broken = {(KEY, key.id), (APPLICATION, 1)}
    web.announce(**{KEY: {key.id}, APPLICATION: {1}})
    await web.until(lambda: len(web.follower.faults) == 2)
    assert "is left out, and 1 more: ValueError: no number" in web.follower.faults_told()
    assert "digits" in web.served.snapshot.applications
    assert digest not in web.served.snapshot.keys
    web.registry.broken = set()
    web.announce(**{KEY: {key.id}, APPLICATION: {1}})
    await web.until(lambda: web.follower.faults_told() == "")
    assert digest in web.served.snapshot.keys


async def test_only_what_a_notice_names_is_read(web: Web) -> None:
    compared = web.registry.compared
    web.registry.set(slo_ms=20.0)
    web.announce(**{APPLICATION: {1}})
    await web.until(lambda: web.slo_ms == 20.0)
    assert web.registry.named == [{APPLICATION: {1}}]
    assert web.registry.compared - compared <= 1  # the one that comes now and then


async def test_whoever_changed_something_can_wait_until_it_is_followed(web: Web) -> None:
    for slo_ms in (20.0, 30.0, 40.0):
        web.registry.set(slo_ms=slo_ms)
        web.announce(**{APPLICATION: {1}})
        assert await web.followers.everyone_followed(timeout_s=LONG_S)
        assert web.slo_ms == slo_ms


async def test_what_nothing_here_knows_of_is_followed_without_a_reading(web: Web) -> None:
    web.announce(release={7})
    assert await web.followers.everyone_followed(timeout_s=LONG_S)
    assert web.registry.named == []


async def test_a_notice_that_was_lost_is_made_up_for_by_the_next(web: Web) -> None:
    web.registry.set(slo_ms=20.0)
    # Two notices of which the first is not heard.
    number = int(web.server.get(NUMBER_KEY) or 0)
    web.server.set(NUMBER_KEY, number + 1)
    web.announce(**{VERSION: {1}})
    assert await web.followers.everyone_followed(timeout_s=LONG_S)
    assert web.slo_ms == 20.0


async def test_what_was_never_announced_is_found(web: Web) -> None:
    web.registry.set(slo_ms=20.0)
    async with asyncio.timeout(COMPARED_IN_S + LONG_S):
        await web.until(lambda: web.slo_ms == 20.0)
    web.registry.snapshot = Snapshot()
    await web.until(lambda: not web.served.snapshot.applications)


async def test_redis_that_lost_everything_makes_nobody_believe_or_wait(web: Web) -> None:
    web.announce(**{APPLICATION: {1}})
    assert await web.followers.everyone_followed(timeout_s=LONG_S)
    before = web.follower.followed
    web.server.flushall()
    web.registry.set(slo_ms=20.0)
    web.announce(**{APPLICATION: {1}})
    await web.until(lambda: web.follower.followed > before)
    assert web.slo_ms == 20.0


async def test_an_older_redis_than_was_heard_of_is_begun_with_anew(web: Web) -> None:
    web.announce(**{APPLICATION: {1}})
    assert await web.followers.everyone_followed(timeout_s=LONG_S)
    web.server.set(NUMBER_KEY, 5)
    web.registry.set(slo_ms=20.0)
    await web.follower.hears_again()
    await web.until(lambda: web.slo_ms == 20.0 and web.follower.followed == 5)


async def test_a_revoked_key_is_refused_before_anything_is_read(web: Web) -> None:
    web.registry.gate.clear()
    web.registry.snapshot = snapshot_of(application_spec())
    web.announce(**{KEY: {1}, REVOKED: {1}})
    await web.until(lambda: not web.served.snapshot.keys)
    web.registry.gate.set()
    assert await web.followers.everyone_followed(timeout_s=LONG_S)
    assert not web.served.snapshot.keys


async def test_a_reading_from_before_opens_nothing_that_was_closed_since(web: Web) -> None:
    web.registry.set(public=True)
    web.announce(**{APPLICATION: {1}})
    await web.until(lambda: web.served.snapshot.applications["digits"].public)
    # One is under way, and has read the key and the application as they were.
    web.registry.gate.clear()
    web.registry.reading.clear()
    web.registry.snapshot = replace(
        web.registry.snapshot,
        keys={
            key.digest: replace(key, name="renamed") for key in web.registry.snapshot.keys.values()
        },
    )
    web.registry.set(slo_ms=20.0)
    web.announce(**{KEY: {1}, APPLICATION: {1}})
    assert await asyncio.to_thread(web.registry.reading.wait, LONG_S)
    web.announce(**{KEY: {1}, REVOKED: {1}, APPLICATION: {1}, PRIVATE: {1}})
    await web.until(lambda: not web.served.snapshot.keys)
    assert not web.served.snapshot.applications["digits"].public
    seen: list[bool] = []
    apply = web.served.apply

    def watched(changes: Sequence[RowChange], /) -> None:
        apply(changes)
        found = web.served.snapshot
        seen.append(bool(found.keys) or found.applications["digits"].public)

    web.served.apply = watched  # type: ignore[method-assign]  # what it sees is what a query would
    web.registry.snapshot = snapshot_of(application_spec(slo_ms=20.0))
    web.registry.gate.set()
    assert await web.followers.everyone_followed(timeout_s=LONG_S)
    assert web.slo_ms == 20.0
    assert seen
    assert not any(seen)


async def test_what_is_closed_again_is_not_opened_by_a_reading_in_between(web: Web) -> None:
    """It was open for a moment, in which it was read: both here and where it is closed already."""
    web.registry.gate.clear()
    web.registry.reading.clear()
    web.registry.set(public=True)
    web.announce(**{KEY: {1}, REVOKED: {1}, APPLICATION: {1}})
    assert await asyncio.to_thread(web.registry.reading.wait, LONG_S)
    seen: list[bool] = []
    apply = web.served.apply

    def watched(changes: Sequence[RowChange], /) -> None:
        apply(changes)
        found = web.served.snapshot
        seen.append(bool(found.keys) or found.applications["digits"].public)

    web.served.apply = watched  # type: ignore[method-assign]  # what it sees is what a query would
    web.registry.snapshot = snapshot_of(application_spec(slo_ms=20.0))
    web.announce(**{KEY: {1}, REVOKED: {1}, APPLICATION: {1}, PRIVATE: {1}})
    await web.until(lambda: seen)  # the second notice was heard
    web.registry.gate.set()
    assert await web.followers.everyone_followed(timeout_s=LONG_S)
    assert web.slo_ms == 20.0
    assert not any(seen)


async def test_an_application_that_goes_as_soon_as_it_is_not_public_is_gone(web: Web) -> None:
    web.registry.set(public=True)
    web.announce(**{APPLICATION: {1}})
    await web.until(lambda: web.served.snapshot.applications["digits"].public)
    web.registry.snapshot = Snapshot()
    web.announce(**{APPLICATION: {1}, PRIVATE: {1}})
    assert await web.followers.everyone_followed(timeout_s=LONG_S)
    assert not web.served.snapshot.applications


async def test_a_key_that_was_closed_by_mistake_works_again(web: Web) -> None:
    web.announce(**{KEY: {1}, REVOKED: {1}})
    assert await web.followers.everyone_followed(timeout_s=LONG_S)
    assert web.served.snapshot.keys == web.registry.snapshot.keys


@pytest.mark.usefixtures("seldom_compared")
async def test_a_database_that_is_away_is_followed_once_it_is_back(web: Web) -> None:
    web.registry.fails = True
    web.registry.set(slo_ms=20.0)
    web.announce(**{APPLICATION: {1}})
    assert not await web.followers.everyone_followed(timeout_s=0.2)
    web.registry.fails = False
    assert await web.followers.everyone_followed(timeout_s=LONG_S)
    assert web.slo_ms == 20.0


async def test_many_changes_are_one_reading_and_applied_in_slices(web: Web) -> None:
    web.registry.gate.clear()
    web.registry.reading.clear()
    web.announce(**{APPLICATION: {1}})
    assert await asyncio.to_thread(web.registry.reading.wait, LONG_S)
    many = [application_spec(id=number, name=f"a{number}") for number in range(2, 1002)]
    web.registry.snapshot = snapshot_of(application_spec(), *many)
    for spec in many:
        web.announce(**{APPLICATION: {spec.id}})
    web.served.slices.clear()
    web.registry.gate.set()
    assert await web.followers.everyone_followed(timeout_s=LONG_S)
    assert len(web.served.snapshot.applications) == 1001
    assert max(web.served.slices) <= SLICE
    assert len(web.registry.named) <= 4


async def test_who_asks_for_what_was_just_made_waits_for_what_is_announced(web: Web) -> None:
    web.registry.snapshot = snapshot_of(application_spec(id=2, name="new"))
    web.announce(**{APPLICATION: {2}})
    await web.follower.catch_up()
    assert "new" in web.served.snapshot.applications


async def test_without_redis_a_look_at_everything_stands_in(web: Web) -> None:
    web.client.connection_pool.connection_kwargs["path"] = "/nonexistent"
    await web.client.connection_pool.disconnect()
    web.registry.snapshot = snapshot_of(application_spec(id=2, name="new"))
    async with asyncio.timeout(LONG_S):
        while "new" not in web.served.snapshot.applications:
            await web.follower.catch_up()  # waits for a moment, which a busy machine may outlast
    assert web.registry.named == []


async def test_what_refers_to_a_version_goes_before_it(web: Web) -> None:
    """A comparison finds that both are gone; a query never finds the application without it."""
    version = version_spec(9)
    web.registry.snapshot = snapshot_of(application_spec(), versions=[version])
    web.announce(**{VERSION: {9}})
    await web.until(lambda: 9 in web.served.snapshot.versions)
    seen: list[tuple[bool, bool]] = []
    apply = web.served.apply

    def watched(changes: Sequence[RowChange], /) -> None:
        apply(changes)
        found = web.served.snapshot
        seen.append(("digits" in found.applications, 9 in found.versions))

    web.served.apply = watched  # type: ignore[method-assign]  # what it sees is what a query would
    web.registry.snapshot = Snapshot()
    await web.until(lambda: 9 not in web.served.snapshot.versions)
    assert (True, False) not in seen
