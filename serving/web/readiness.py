"""Readiness of this process for a load balancer.

It fails only on what another process may be able to do: a model that this one can't reach yet.
What nobody can serve is said, but takes no process away from the other applications.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from core.specs import ApplicationSpec, VersionSpec
from registry.releases.control import NO_SLOTS, REMEDIES, Slots
from serving.cluster.membership.records import ReplicaRecord, ReplicaState, kind_of
from serving.query.routing import Router
from serving.rpc.address import AnyAddress
from serving.rpc.plain_streams import open_stream

OK = "ok"
QUESTION = b"GET /health/console HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
ANSWER = b"HTTP/1.1 200 "
UNCONNECTED = "no replica is connected"


@dataclass(slots=True)
class Readiness:
    """State of each thing by name, and those that make this process unready."""

    states: dict[str, str] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)

    def note(self, name: str, state: str, *, fails: bool = False) -> None:
        self.states[name] = state
        if fails:
            self.failing[name] = state


def model_readiness(
    router: Router,
    *,
    connected: Callable[[int], bool],
    records: Iterable[ReplicaRecord],
    unreachable: Mapping[int, Sequence[str]] = MappingProxyType({}),
    slots: Mapping[str, Slots] = NO_SLOTS,
) -> Readiness:
    """Return the readiness of all routed models, by the directory's `records`.

    `unreachable` has by version why ready replicas can't be reached, `slots` those of each device.
    """
    readiness = Readiness()
    records = list(records)
    broken = {
        record.version_id: record.last_error or "its replicas fail"
        for record in records
        if record.state is ReplicaState.FAILED
    }
    for application in router.snapshot.applications.values():
        arms = router.arms(application)
        for arm, target in arms.targets.items():
            version = target.version
            if connected(version.id):
                readiness.note(f"model {arm}", OK)
            else:
                _note_unconnected(
                    readiness,
                    version,
                    why_broken=broken.get(version.id),
                    lacks_slot=_lacks_slot(version, records=records, slots=slots),
                    in_the_way=unreachable.get(version.id, ()),
                )
        _note_missing(readiness, application, router=router, is_empty=not arms.targets)
    _fail_where_none_serves(readiness)
    return readiness


def _note_unconnected(
    readiness: Readiness,
    version: VersionSpec,
    *,
    why_broken: str | None,
    lacks_slot: str,
    in_the_way: Sequence[str],
) -> None:
    name = f"model {version.arm}"
    if version.replicas == 0:
        readiness.note(name, "scaled to 0 replicas")
    elif in_the_way:
        readiness.note(name, f"{UNCONNECTED} ({'; '.join(in_the_way)})", fails=True)
    elif why_broken is not None:
        readiness.note(name, f"its replicas fail: {why_broken}")
    elif lacks_slot:
        readiness.note(name, lacks_slot)
    else:
        readiness.note(name, UNCONNECTED, fails=True)


def _lacks_slot(
    version: VersionSpec, *, records: Sequence[ReplicaRecord], slots: Mapping[str, Slots]
) -> str:
    """Say which replicas have the slot that this version's wait for; "" if it has one."""
    own = [record for record in records if record.version_id == version.id and record.is_supply]
    total = slots[version.device].total if version.device in slots else 0
    taken = Counter(
        f"{r.model}:{r.version}"
        for r in records
        if r.holds_slot and kind_of(r.device) == version.device
    )
    if not own or not total or taken.total() < total:
        return ""
    if any(record.state is not ReplicaState.QUEUED for record in own):
        return ""
    holders = Slots(total=total, replicas=dict(taken)).holders
    return (
        f"it lacks a slot, all {total} for {version.device} are taken by {holders}. "
        f"{REMEDIES[version.device]}"
    )


def _note_missing(
    readiness: Readiness, application: ApplicationSpec, *, router: Router, is_empty: bool
) -> None:
    for route in application.routes:
        model = router.snapshot.models.get(route.model_id)
        if route.pinned_version_id is None and model and model.live_version_id is None:
            readiness.note(f"model {route.model}", "no version was deployed")
    if is_empty:
        readiness.note(f"application {application.name}", "it routes to no version")


def _fail_where_none_serves(readiness: Readiness) -> None:
    """Be unready if the replicas of every routed model fail."""
    models = {name: s for name, s in readiness.states.items() if s.startswith("its replicas fail")}
    if models and OK not in readiness.states.values():
        readiness.failing |= models


async def console_state(console: AnyAddress | None, *, within_s: float = 2.0) -> str:
    """Return the console's health, asked at its address."""
    try:
        async with asyncio.timeout(within_s):
            if console is None:
                return "has no address"
            return OK if await _answers(console) else "answers with an error"
    except (OSError, EOFError) as error:
        return f"cannot be reached ({type(error).__name__})"


async def _answers(console: AnyAddress) -> bool:
    reader, writer = await open_stream(console)
    try:
        writer.write(QUESTION)
        return await reader.readexactly(len(ANSWER)) == ANSWER
    finally:
        writer.close()
