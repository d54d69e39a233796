"""The directory admits what the stack's own processes wrote; anything else is only shown."""

import select
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client
from redis.asyncio import Redis

from registry.models import ModelVersion
from serving.cluster.control.reconciler import REFUSED_KEPT_S
from serving.cluster.membership.directory import INDEX_KEY, RECORD_KEY, Directory, read_directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.cluster.membership.seals import SEALED, Refusals, Seal
from serving.cluster.replica import replica_process
from serving.cluster.replica.tasks import serve_replica
from tests.serving.cluster.control.rounds import Rounds
from tests.serving.cluster.samples import SEAL, a_record
from tests.serving.cluster.web_part import WebPart

OTHER: dict[str, Any] = {
    "version_id": 2,
    "generation": 2,
    "pid": 4711,
    "state": ReplicaState.DRAINING,
}


def forge(client: redis.Redis, record: ReplicaRecord) -> bytes:
    """Write what anybody can who reaches Redis."""
    text = msgspec.json.encode(record)
    client.set(RECORD_KEY + record.id, text)
    client.zadd(INDEX_KEY, {record.id: 0})
    return text


# --- seals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", SEALED)
def test_a_seal_fits_no_other_replica_place_or_state(field: str) -> None:
    sealed = SEAL.put_on(a_record(address="unix:/run/r-1.sock"))
    assert SEAL.fits(sealed)
    other = msgspec.structs.replace(sealed, **{field: OTHER.get(field, "other")})
    assert not SEAL.fits(other)


def test_figures_and_times_change_beneath_a_seal() -> None:
    sealed = SEAL.put_on(a_record())
    assert SEAL.fits(msgspec.structs.replace(sealed, queries=5, heartbeat_at=1.5, last_error="no"))


@pytest.mark.parametrize("seal", ["", "0" * 64, "é"])
def test_who_lacks_the_secret_makes_none(seal: str) -> None:
    assert not SEAL.fits(msgspec.structs.replace(a_record(), seal=seal))
    assert not SEAL.fits(Seal(b"the secret of quite another cluster").put_on(a_record()))


def test_each_refusal_counts_once_while_it_is_there() -> None:
    refusals, rogue = Refusals(), a_record("x", address="unix:/x.sock")
    for refused in ([rogue], [rogue], [rogue, a_record("y")], [], [rogue]):
        refusals.note(refused)
    assert refusals.count == 3


# --- the directory -----------------------------------------------------------------------------


async def test_nobody_is_told_of_a_forged_record(
    directory: Directory, client: redis.Redis, redis_socket: str
) -> None:
    genuine = a_record("ours", address="unix:/run/r-ours.sock", pid=42)
    directory.announce(genuine)
    text = client.get(RECORD_KEY + "ours")
    assert text is not None
    kept = msgspec.json.decode(text, type=ReplicaRecord)
    forge(client, a_record("unsealed", address="unix:/tmp/x.sock"))
    # Of a replica that has gone, its place taken by another.
    forge(client, msgspec.structs.replace(kept, id="moved", address="unix:/tmp/x.sock"))
    client.set(RECORD_KEY + "garbled", b'{"id": "\xff"}')
    client.zadd(INDEX_KEY, {"garbled": 0})

    async with Redis(unix_socket_path=redis_socket) as aredis:
        told = await read_directory(aredis, seal=SEAL)

    assert told == directory.look()
    assert told.records == directory.read() == [genuine]
    assert {one.id for one in told.refused} == {"unsealed", "moved"}
    assert {one.state for one in told.refused} == {ReplicaState.REFUSED}
    assert directory.find("unsealed") is None


def test_a_forged_replica_is_not_dialled_and_a_genuine_one_is(
    directory: Directory, client: redis.Redis, redis_socket: str, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("s")
    forged, genuine = folder / "f.sock", folder / "g.sock"
    web = WebPart(redis_url=f"unix://{redis_socket}")
    with listening(forged) as rogue, listening(genuine) as ours:
        forge(client, a_record("forged", address=f"unix:{forged}"))
        directory.announce(a_record("genuine", address=f"unix:{genuine}"))
        client.persist(RECORD_KEY + "genuine")
        web.start()
        try:
            ours.settimeout(20)
            ours.accept()[0].close()
        finally:
            web.stop()
        # One look dials all that it admits.
        assert select.select([rogue], [], [], 0) == ([], [], [])


def listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


# --- the cluster -------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_forged_replica_is_no_supply_and_is_forgotten_after_a_while(
    rounds: Rounds, live: ModelVersion, client: redis.Redis
) -> None:
    rounds.employ("h1")
    forge(client, a_record("forged", version_id=live.pk, generation=live.generation))

    rounds.run()

    assert len(rounds.started) == 1
    assert client.exists(RECORD_KEY + "forged")
    rounds.run(after_s=REFUSED_KEPT_S + 1)
    assert not client.exists(RECORD_KEY + "forged")


@pytest.mark.django_db
def test_a_task_starts_nothing_that_the_reconciler_did_not_ask_for(
    server_redis: redis.Redis, live: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[Any] = []
    monkeypatch.setattr(replica_process, "claim", lambda queued, **_: run.append(queued))
    queued = a_record(
        "q", version_id=live.pk, generation=live.generation, state=ReplicaState.QUEUED
    )
    text = forge(server_redis, queued)

    serve_replica("q", live.pk)

    assert run == []
    assert server_redis.get(RECORD_KEY + "q") == text

    Directory(server_redis, seal=SEAL).enqueue(queued)
    serve_replica("q", live.pk)
    assert run == [queued]


@pytest.mark.django_db
def test_the_list_of_replicas_shows_what_was_refused(server_redis: redis.Redis) -> None:
    forge(server_redis, a_record("forged", address="unix:/tmp/x.sock"))
    client = Client()
    client.force_login(User.objects.create_superuser("owner"))

    (row,) = client.get("/api/v1/replicas/").json()

    assert (row["id"], row["state"], row["address"]) == ("forged", "refused", "unix:/tmp/x.sock")
    assert "seal does not fit" in row["last_error"]
