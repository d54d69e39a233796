"""Readiness: what another process may have counts, what nobody could serve is only told."""

from dataclasses import replace

import pytest

from core.specs import ModelSpec
from registry.releases.control import Slots
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.testing import PlayedServing, application_spec
from serving.web.readiness import OK, UNCONNECTED, Readiness, model_readiness


def record(version_id: int, state: ReplicaState, *, error: str | None = None) -> ReplicaRecord:
    return ReplicaRecord(
        id=f"r{version_id}-{state}",
        model=f"m{version_id}",
        version="1",
        version_id=version_id,
        generation=1,
        state=state,
        last_error=error,
    )


def readiness(
    serving: PlayedServing, *, connected: set[int], records: tuple[ReplicaRecord, ...] = ()
) -> Readiness:
    return model_readiness(
        serving.router, connected=lambda version: version in connected, records=records
    )


def test_it_is_ready_where_every_routed_model_is_connected() -> None:
    found = readiness(PlayedServing(application_spec()), connected={1, 2, 3})
    assert found.states == dict.fromkeys(("model m1:1", "model m2:1", "model m3:1"), OK)
    assert found.failing == {}


def test_a_model_that_isnt_connected_yet_counts() -> None:
    loading = record(2, ReplicaState.LOADING)
    found = readiness(PlayedServing(application_spec()), connected={1, 3}, records=(loading,))
    assert found.failing == {"model m2:1": UNCONNECTED}


@pytest.mark.parametrize(("total", "fails"), [(2, False), (3, True)])
def test_a_model_that_lacks_a_slot_is_told_and_doesnt_count(total: int, fails: bool) -> None:
    states = (ReplicaState.READY, ReplicaState.QUEUED, ReplicaState.READY)
    found = model_readiness(
        PlayedServing(application_spec()).router,
        connected=lambda version: version != 2,
        records=[record(number, state) for number, state in enumerate(states, start=1)],
        slots={"cpu": Slots(total=total)},
    )
    assert ("model m2:1" in found.failing) == fails
    assert ("m1:1 x 1, m3:1 x 1" in found.states["model m2:1"]) != fails


def test_what_is_in_the_way_to_a_replica_is_named() -> None:
    serving = PlayedServing(application_spec())
    found = model_readiness(
        serving.router,
        connected=lambda version: version != 2,
        records=(record(2, ReplicaState.READY),),
        unreachable={2: ["tcp:10.0.0.7:20000: connection refused"]},
    )
    why = f"{UNCONNECTED} (tcp:10.0.0.7:20000: connection refused)"
    assert found.failing == {"model m2:1": why}


def test_a_model_scaled_to_none_is_told_and_doesnt_count() -> None:
    serving = PlayedServing(application_spec())
    versions = dict(serving.router.snapshot.versions)
    versions[2] = replace(versions[2], replicas=0)
    serving.change_registry(versions=versions)

    found = readiness(serving, connected={1, 3})
    assert found.failing == {}
    assert found.states["model m2:1"] == "scaled to 0 replicas"


def test_a_model_never_deployed_is_told_and_doesnt_count() -> None:
    serving = PlayedServing(application_spec())
    models = dict(serving.router.snapshot.models)
    models[2] = ModelSpec(id=2, name="m2", input_type="doubles", live_version_id=None)
    serving.change_registry(models=models)

    found = readiness(serving, connected={1, 3})
    assert found.failing == {}
    assert found.states["model m2"] == "no version was deployed"


def test_an_application_without_routes_is_told_and_doesnt_count() -> None:
    serving = PlayedServing(application_spec())
    serving.route(application_spec(id=8, name="empty", routes=()))

    found = readiness(serving, connected={1, 2, 3})
    assert found.failing == {}
    assert found.states["application empty"] == "it routes to no version"


def test_a_version_whose_replicas_fail_takes_nobody_away_from_the_others() -> None:
    failed = record(2, ReplicaState.FAILED, error="out of memory")
    loading = record(2, ReplicaState.LOADING)
    found = readiness(
        PlayedServing(application_spec()), connected={1, 3}, records=(failed, loading)
    )
    assert found.failing == {}
    assert found.states["model m2:1"] == "its replicas fail: out of memory"


def test_where_every_model_fails_it_isnt_ready() -> None:
    failed = tuple(record(n, ReplicaState.FAILED, error="broken") for n in (1, 2, 3))
    found = readiness(PlayedServing(application_spec()), connected=set(), records=failed)
    assert len(found.failing) == 3
    assert set(found.failing.values()) == {"its replicas fail: broken"}
