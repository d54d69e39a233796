"""A web process's engine and its links to replicas, without the rest of a web process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from core.specs import VersionSpec
from serving.cluster.membership.records import ReplicaState
from serving.engine.engine import Engine, EngineSpec, Target
from serving.engine.gather import CallOptions, Gather
from serving.engine.outcome import Outcome
from serving.rpc.frames.hello import Hello
from serving.rpc.tcp.credentials import Credentials
from serving.web.links import ReplicaLinks
from tests.serving.cluster.samples import a_record
from tests.serving.container.server.test_server import HELLO

LIMIT_S = 30.0


def served(hello: Hello) -> dict[str, object]:
    """What the directory lists of a replica that says this."""
    return {
        "model": hello.model,
        "version": hello.version,
        "version_id": hello.version_id,
        "generation": hello.generation,
    }


SERVED = served(HELLO)


class Linked:
    """One engine and its links to replicas, which say `hello` but for their ids."""

    def __init__(self, credentials: Credentials, *, hello: Hello = HELLO) -> None:
        self.engine = Engine(EngineSpec(cache_bytes=0))
        self.links = ReplicaLinks(
            self.engine, credentials=credentials, on_change=lambda: self._changed.set()
        )
        self._hello = hello
        self._changed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def to(
        cls, addresses: dict[str, str], *, credentials: Credentials, hello: Hello = HELLO
    ) -> AsyncIterator[Linked]:
        """Yield while the links to these replicas (id → address) are kept."""
        linked = cls(credentials, hello=hello)
        linked.sync(addresses)
        try:
            async with asyncio.timeout(4 * LIMIT_S):
                yield linked
        finally:
            await linked.links.close()
            linked.engine.close()
            await asyncio.sleep(0)

    def sync(self, addresses: dict[str, str], *, state: ReplicaState = ReplicaState.READY) -> None:
        """Have the directory list these replicas (id → address), of the version in their HELLO."""
        self.links.sync(
            a_record(one, state=state, address=address, **served(self._hello))
            for one, address in addresses.items()
        )

    async def connected(self, version: VersionSpec) -> None:
        """Wait until a replica of the version is connected."""
        while not self.engine.connected(version.id):
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), LIMIT_S)

    async def ended(self, replica_id: str) -> None:
        """Wait until there is no link to this replica, nor one that is being made."""
        while replica_id in self.links.linked:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), LIMIT_S)

    async def ask(self, version: VersionSpec, *inputs: bytes) -> list[Outcome]:
        gather = Gather(calls=len(inputs))
        deadline = monotonic() + LIMIT_S
        for index, raw in enumerate(inputs):
            self.engine.ask(
                gather,
                [Target.of(version)],
                input=raw,
                deadline=deadline,
                options=CallOptions(cached=False),
                first=index,
            )
        await gather.settled(seconds=LIMIT_S)
        return [outcome for outcome in gather.outcomes if outcome is not None]
