"""During an upgrade older processes run beside newer ones, and each understands the other."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from clipper_site.celery import app
from serving.cluster.membership.directory import REPLICAS, Directory
from serving.cluster.membership.seals import Seal
from serving.cluster.membership.views import VIEWS, reached, read_views
from serving.cluster.membership.workers import WORKERS, read_workers
from serving.metrics.exposition import exposition
from serving.metrics.published import WEBS, read_published
from tests.upgrade.state import REPORTED, SECRET_KEY

RECORDS: dict[str, str] = json.loads(REPORTED.read_text())["records"]
# What settings make of the key where no secret of the cluster is set.
CLUSTER_SECRET = hmac.digest(SECRET_KEY.encode(), b"clipper.cluster", "sha256").hex().encode()
KINDS = (REPLICAS, WORKERS, VIEWS, WEBS)
# As messages in Celery's queues say it, whichever version put them there: task and arguments.
ON_THE_WIRE = {
    "serving.cluster.tasks.serve_replica": ("0" * 32, 1, 1),
    "serving.cluster.tasks.reconcile": (),
    "serving.cluster.tasks.check_version": (1,),
    "serving.cluster.tasks.validate_release": (1,),
}


@pytest.fixture
def client(redis_socket: str) -> Iterator[redis.Redis]:
    """A Redis into which an older version's processes have written themselves down."""
    with redis.Redis(unix_socket_path=redis_socket) as client:
        client.flushall()
        with client.pipeline() as pipe:
            for key, text in RECORDS.items():
                kind = next(one for one in KINDS if key.startswith(one.prefix))
                kind.write(pipe, key.removeprefix(kind.prefix), text=text.encode(), ttl_s=None)
            pipe.execute()
        yield client


def records(prefix: str) -> list[dict[str, Any]]:
    return [json.loads(text) for key, text in RECORDS.items() if key.startswith(prefix)]


def test_replicas_of_an_older_worker_are_asked(client: redis.Redis) -> None:
    found = Directory(client, seal=Seal(CLUSTER_SECRET)).look()
    assert found.refused == []
    assert {record.model for record in found.records} == {"svm-linear", "mlp", "naive-bayes"}
    written = {one["id"]: one for one in records(REPLICAS.prefix)}
    for record in found.records:
        assert record.address == written[record.id]["address"]
        assert record.state == "ready"


def test_slots_of_an_older_worker_are_counted(client: redis.Redis) -> None:
    assert [worker.slots for worker in read_workers(client)] == [12]


def test_an_older_web_process_has_its_say_in_a_release(client: redis.Redis) -> None:
    (view,) = read_views(client)
    assert reached(list(view.links), views=[view]) == len(view.links) >= 3


def test_what_an_older_web_process_counts_is_shown(client: redis.Redis) -> None:
    (document,) = read_published(client)
    asked = document["applications"]["digits"]["queries"]
    assert asked > 40
    text = exposition([document]).decode()
    labels = f'application="digits",process="{document["id"]}"'
    assert f"clipper_application_queries_total{{{labels}}} {asked}.0" in text.splitlines()


@pytest.mark.parametrize("name", ON_THE_WIRE)
def test_tasks_in_the_queues_are_known_by_their_older_names(name: str) -> None:
    app.loader.import_default_modules()
    task: Any = app.tasks[name]
    # Raises a TypeError where it takes other arguments.
    task.__header__(*ON_THE_WIRE[name])
