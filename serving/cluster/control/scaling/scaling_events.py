"""The last time that autoscaling changed a version's replicas, and why: for people to read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import msgspec

if TYPE_CHECKING:
    import redis

CHANGE_KEY = "clipper:autoscaled:"


class ReplicaChange(msgspec.Struct, frozen=True, kw_only=True):
    """`at` is in unix seconds; `before` and `after` are numbers of replicas."""

    at: float
    before: int
    after: int
    reason: str


_decoder = msgspec.json.Decoder(ReplicaChange)


def note_change(client: redis.Redis, change: ReplicaChange, *, version_id: int) -> None:
    client.set(f"{CHANGE_KEY}{version_id}", msgspec.json.encode(change), ex=3600)


def last_changes(client: redis.Redis, version_ids: Iterable[int]) -> dict[int, ReplicaChange]:
    """Return the last change of each of these versions that had one within the hour."""
    ids = list(version_ids)
    if not ids:
        return {}
    texts = cast(
        "list[bytes | None]", client.mget([f"{CHANGE_KEY}{version_id}" for version_id in ids])
    )
    return {
        version_id: _decoder.decode(text)
        for version_id, text in zip(ids, texts, strict=True)
        if text
    }
