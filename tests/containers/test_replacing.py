"""Containers are replaced, stopped and upgraded under load, and no client notices."""

import time

import pytest

from tests.containers.balanced import Balanced
from tests.containers.composed import DIGITS, Composed
from tests.containers.podman import NEXT
from tests.integration.stack import Load, eventually

SERVICES = ("predict-a", "predict-b")
Inputs = list[list[float]]


def replace_worker(composed: Composed) -> None:
    """Another one beside it, then SIGTERM to the old one, whose replicas move before it ends."""
    (old,) = composed.containers("worker")
    composed.up("--no-deps", "--no-recreate", "--scale", "worker=2", "worker")
    composed.podman("stop", old)
    composed.podman("rm", old)
    (new,) = composed.containers("worker")
    assert new != old


def replace_predict(composed: Composed, balanced: Balanced) -> None:
    for service in SERVICES:
        (old,) = composed.containers(service)
        before = composed.podman.inspect(old)["Id"]
        composed.up("--no-deps", service)
        balanced.wait_for(len(SERVICES))
        assert composed.podman.inspect(composed.containers(service)[0])["Id"] != before


def hosts(composed: Composed) -> list[str]:
    names = [name for service in SERVICES for name in composed.containers(service)]
    return [host for name in names if (host := composed.podman.address(name))]


@pytest.mark.parametrize("service", ["console", "control"])
def test_a_container_that_answers_no_queries_is_replaced(
    composed: Composed, inputs: Inputs, service: str
) -> None:
    with composed.loaded(inputs):
        composed.up("--no-deps", "--force-recreate", service)


def test_a_worker_that_is_stopped_moves_its_replicas_first(
    composed: Composed, inputs: Inputs
) -> None:
    before = {replica["pid"] for replica in composed.replicas()}
    with composed.loaded(inputs):
        replace_worker(composed)
    assert before
    assert len(composed.replicas()) == len(before)


@pytest.mark.parametrize("service", ["valkey", "postgres"])
def test_queries_are_answered_while_a_server_is_away(
    composed: Composed, inputs: Inputs, service: str
) -> None:
    (name,) = composed.containers(service)
    with composed.loaded(inputs) as load:
        composed.podman("stop", "--time", "10", name)
        stopped, seen = time.monotonic(), []
        with composed.client() as client:
            while time.monotonic() < stopped + 10:
                seen.append(client.get("/health/serving").status_code)
                time.sleep(0.5)
        assert len(load.after(stopped)) > 20
        composed.podman("start", name)
    assert set(seen) == {200}
    eventually(lambda: composed.healthy(name), seconds=60, what=f"{service} is back")
    eventually(lambda: ready(composed), seconds=90, what="everything is ready")


def ready(composed: Composed) -> bool:
    with composed.client() as client:
        return client.get("/health/ready").status_code == 200


def test_slots_wanted_follow_the_replicas_that_are_asked_for(composed: Composed) -> None:
    """Also of those that wait, since no worker is there: something may start one then."""
    (worker,) = composed.containers("worker")
    before = eventually(lambda: counted(composed), seconds=90, what="replicas that are wanted run")
    scaled(composed, replicas=4)
    composed.podman("kill", worker)
    eventually(lambda: slots(composed, "") == 0, seconds=120, what="no slots are there")
    assert slots(composed, "_wanted") == before + 3
    composed.podman("start", worker)
    scaled(composed, replicas=1)
    eventually(lambda: len(composed.replicas()) == before, seconds=120, what="models answer again")


def counted(composed: Composed) -> int:
    """The slots that are wanted, 0 while another number of replicas is ready."""
    wanted, ready = slots(composed, "_wanted"), len(composed.replicas())
    return wanted if wanted == ready else 0


def scaled(composed: Composed, *, replicas: int) -> None:
    before = slots(composed, "_wanted")
    with composed.client() as client:
        done = client.post("/api/v1/models/svc/scale", json={"replicas": replicas})
    assert done.status_code == 200, done.text
    asked = time.monotonic()
    eventually(lambda: slots(composed, "_wanted") != before, seconds=30, what="slots wanted")
    print(f"slots wanted: another number than {before} after {time.monotonic() - asked:.2f} s")


def slots(composed: Composed, which: str) -> int:
    with composed.client() as client:
        lines = client.get("/metrics").text.splitlines()
    name = f'clipper_slots{which}{{queue="replicas.cpu"'
    # None is there until the control worker has counted.
    found = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)]
    return round(found[0]) if found else -1


def test_all_containers_are_upgraded_those_that_answer_one_by_one(
    composed: Composed, inputs: Inputs
) -> None:
    composed.up("--no-deps", *SERVICES)
    with (
        Balanced(lambda: hosts(composed), client=composed.client).watching() as balanced,
        Load(balanced, application=DIGITS, inputs=inputs) as load,
    ):
        load.more()
        composed.podman.build_next()
        composed.settings["CLIPPER_IMAGE"] = NEXT
        composed.compose("run", "--rm", "--no-deps", "-T", "migrate")
        composed.up("--no-deps", "console", "control")
        replace_worker(composed)
        replace_predict(composed, balanced)
        load.more()
    assert load.errors == []
    assert load.defaults == []
    for service in ("console", "control", "worker", *SERVICES):
        (name,) = composed.containers(service)
        assert composed.podman.inspect(name)["ImageName"] == NEXT, service
