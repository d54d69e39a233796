"""Each web process's view of the replicas: those that it reaches, and why not the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from core.redis.expiring_keys import ExpiringKeys, understood

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from serving.cluster.membership.records import ReplicaRecord

VIEW_KEY = "clipper:view:"
VIEWS_KEY = "clipper:views"
VIEWS = ExpiringKeys(index=VIEWS_KEY, prefix=VIEW_KEY)
VIEW_TTL_S = 5.0


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """One web process's link to one replica; `reason` says why it has none, "" on the way to it."""

    address: str
    proven: bool = False
    reason: str = ""


class WebView(msgspec.Struct, frozen=True, kw_only=True):
    """One web process and its links, by the ids of replicas that the directory says are ready."""

    id: str
    host: str
    pid: int
    links: dict[str, LinkView] = {}

    @property
    def name(self) -> str:
        return f"web process {self.pid} on {self.host}"

    def has_proven(self, replica_id: str) -> bool:
        link = self.links.get(replica_id)
        return link is not None and link.proven


_decoder = msgspec.json.Decoder(WebView)


async def publish_view(client: redis.asyncio.Redis, view: WebView) -> None:
    """Write the view in place of this process's last one."""
    async with client.pipeline(transaction=True) as pipe:
        VIEWS.write(pipe, view.id, text=msgspec.json.encode(view), ttl_s=VIEW_TTL_S)
        await pipe.execute()


async def withdraw_view(client: redis.asyncio.Redis, view_id: str) -> None:
    """Remove the view of a process that leaves."""
    async with client.pipeline(transaction=True) as pipe:
        VIEWS.remove(pipe, view_id)
        await pipe.execute()


def read_views(client: redis.Redis) -> list[WebView]:
    """Return the view of every web process that lives, in the order of their ids."""
    found = understood(VIEWS.read(client), decoder=_decoder, what="view of a web process")
    return sorted(found, key=lambda view: view.id)


async def read_views_async(client: redis.asyncio.Redis) -> list[WebView]:
    """Return what `read_views` does, in no order and without blocking."""
    texts = await VIEWS.read_async(client)
    return list(understood(texts, decoder=_decoder, what="view of a web process"))


def reached(replica_ids: Collection[str], *, views: Sequence[WebView]) -> int:
    """Return how many of these replicas every web process has reached, 0 without any."""
    counts = (sum(map(view.has_proven, replica_ids)) for view in views)
    return min(counts, default=0)


def obstacles(
    records: Iterable[ReplicaRecord], *, views: Sequence[WebView]
) -> list[tuple[ReplicaRecord, WebView, LinkView]]:
    """Return, of these replicas, what stands between which of them and which web process."""
    return [
        (record, view, link)
        for record in records
        for view in views
        if (link := view.links.get(record.id)) is not None and link.reason
    ]


def obstacle_text(record: ReplicaRecord, view: WebView, link: LinkView) -> str:
    return f"{view.name} can't reach replica {record.id[:12]} at {link.address}: {link.reason}"
