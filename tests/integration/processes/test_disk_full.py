"""A whole stack on a small disk that fills up: it goes on answering, and recovers by itself."""

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.conftest import Digits, copy_of, make_application
from tests.integration.stack import Load, Stack, eventually, post
from tests.small_disk import SmallDisk, small_disk

# `scripts/test_full_disk` has supervisord and Redis on such a disk, `site/test_full_database` and
# `site/test_uploads` what people are told meanwhile.
pytestmark = pytest.mark.long

# What a name may contain that means something else in a URL or a shell.
NAME = "a small disk #1?x=ü"
PROGRAMS = ("cpu-worker", "control", "predict", "console", "orphans")
KEPT_FREE = 24 << 20
QUERIES_MEANWHILE = 300


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk(megabytes=200, name=NAME) as disk:
        yield disk


@pytest.fixture
def stack(disk: SmallDisk, first: Stack) -> Iterator[Stack]:
    var = copy_of(first, to=disk.path / "var")
    running = Stack(var=var, settings={"CLIPPER_MIN_FREE_BYTES": str(KEPT_FREE)})
    running.output = disk.path.parent / "stack.out"  # on a disk that isn't full
    try:
        running.start()
        yield running
    finally:
        running.end()


def upload(stack: Stack, *, version: str) -> httpx.Response:
    with stack.client() as client:
        return client.post(
            f"/api/v1/models/{stack.demo['models'][0]}/versions/",
            data={"version": version, "runtime": "sklearn"},
            files={"artifact": b"x" * 4096},
        )


def feedback(stack: Stack, *, application: str, query_id: str) -> httpx.Response:
    with stack.client() as client:
        return client.post(
            f"/api/v1/applications/{application}/feedback",
            json={"query_id": query_id, "label": 1},
        )


def test_predictions_survive_a_full_disk_and_the_stack_recovers(
    disk: SmallDisk, stack: Stack, digits: Digits
) -> None:
    inputs, _ = digits
    application = make_application(stack, name="patient", policy="exp3")
    eventually(stack.ready, seconds=60, what="it is ready")
    pids = {name: stack.pid_of(name) for name in PROGRAMS}
    replicas = {
        replica["id"] for model in stack.demo["models"] for replica in stack.replicas(model)
    }
    with stack.client() as client:
        receipt = post(client, f"{application}/predict", {"input": inputs[0]})["query_id"]

    with Load(stack, application=application, inputs=inputs, threads=2) as load:
        eventually(lambda: load.count() > 20, seconds=90, what="it answers")
        disk.fill()
        # The first write that finds no room is the end of Redis.
        eventually(
            lambda: feedback(stack, application=application, query_id=receipt).status_code == 503,
            seconds=60,
            what="feedback is refused clearly",
        )
        refused = upload(stack, version="full")
        assert refused.status_code == 507, refused.text
        assert refused.json()["code"] == "insufficient_storage"
        with stack.client() as client:
            for _ in range(20):  # each opens the database anew
                assert client.get("/api/v1/models/").status_code == 200
        before = load.count()
        eventually(
            lambda: load.count() > before + QUERIES_MEANWHILE, seconds=60, what="it answers on"
        )
        assert {name: stack.pid_of(name) for name in PROGRAMS} == pids
        assert httpx.get(f"{stack.url}/health/live", timeout=5.0).status_code == 200
        disk.free()
        eventually(stack.ready, seconds=60, what="it is ready again")
        eventually(
            lambda: feedback(stack, application=application, query_id=receipt).status_code == 200,
            seconds=60,
            what="feedback is taken again",
        )
        answered = load.count()
        eventually(lambda: load.count() > answered + 50, seconds=90, what="it answers still")

    assert load.errors == []
    assert {name: stack.pid_of(name) for name in PROGRAMS} == pids
    eventually(
        lambda: upload(stack, version="afterwards").status_code in (201, 409),
        seconds=60,
        what="uploads are taken again",
    )
    eventually(
        lambda: (
            replicas
            <= {one["id"] for model in stack.demo["models"] for one in stack.replicas(model)}
        ),
        seconds=60,
        what="the same replicas are in the directory",
    )
