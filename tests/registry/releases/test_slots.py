"""Requests for more slots than the workers have: refused at once, naming who has the slots."""

from typing import Any

import pytest
import redis

from core.errors import Conflict
from registry import services
from registry.models import Model, ModelVersion
from registry.releases.control import KEPT_S, KEY, Slots, note_round
from tests.registry.api.views.test_api_models import artifact
from tests.registry.conftest import BY, AddVersion, Api, go_live

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty(server_redis: redis.Redis) -> None:
    """So that nothing is known of slots before a test notes them."""


def running(name: str, *, replicas: int = 1) -> ModelVersion:
    """Return version 1 of another model, which is live."""
    model = Model.objects.create(name=name, input_type="doubles")
    version = ModelVersion.objects.create(
        model=model, version="1", runtime="sklearn", digest="0" * 64, replicas=replicas
    )
    Model.objects.filter(pk=model.pk).update(live_version=version)
    return version


def note(client: redis.Redis, *, gpus: int = 0, total: int = 4, **replicas: int) -> None:
    """Note a round that found so many slots, and whose replicas need them (`svm` is svm:1)."""
    needed = {f"{model}:1": count for model, count in replicas.items()}
    for model in replicas.keys() - set(Model.objects.values_list("name", flat=True)):
        running(model, replicas=replicas[model])
    slots = {"cpu": Slots(total=total, replicas=needed), "gpu": Slots(total=gpus)}
    note_round(client, slots=slots)


@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:0"])
def test_a_gpu_is_refused_at_the_upload_where_no_worker_has_one(
    manager: Api, svm: Model, server_redis: redis.Redis, device: str
) -> None:
    note(server_redis)
    form = {"version": "1", "runtime": "sklearn", "device": device}
    answer = manager.upload("svm", artifact=artifact(), **form)

    assert answer.status_code == 400, answer.content
    assert answer.json()["details"]["fields"] == ["device"]
    assert "CLIPPER_GPU_SLOTS" in answer.json()["error"]
    assert not ModelVersion.objects.exists()


def test_a_gpu_is_taken_of_a_stack_whose_gpu_worker_is_away(
    manager: Api, svm: Model, server_redis: redis.Redis, settings: Any
) -> None:
    note(server_redis)
    settings.CLIPPER_GPU_SLOTS = 1
    form = {"version": "1", "runtime": "sklearn", "device": "gpu"}
    assert manager.upload("svm", artifact=artifact(), **form).status_code == 201


def test_a_deploy_that_no_version_can_make_room_for_is_refused(
    manager: Api, v1: ModelVersion, server_redis: redis.Redis
) -> None:
    note(server_redis, a=1, b=1, c=1, d=1)
    answer = manager("post", "models/svm/versions/1/deploy")

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "a:1 x 1, b:1 x 1, c:1 x 1, d:1 x 1" in answer.json()["error"]
    assert "CLIPPER_CPU_SLOTS" in answer.json()["error"]


def test_what_was_scaled_to_nothing_since_the_round_is_in_nobodys_way(
    v1: ModelVersion, server_redis: redis.Redis
) -> None:
    note(server_redis, a=1, b=1, c=1, d=1)
    services.configure_version(version=ModelVersion.objects.get(model__name="a"), replicas=0, by=BY)
    assert services.deploy(version=v1, by=BY).is_open


def test_deploys_that_wait_count_each_other(v1: ModelVersion, server_redis: redis.Redis) -> None:
    other = services.create_model(name="other", input_type="doubles", by=BY)
    first = ModelVersion.objects.create(
        model=other, version="1", runtime="sklearn", digest="0" * 64
    )
    note(server_redis, a=1, b=1, c=1)
    services.deploy(version=first, by=BY)
    with pytest.raises(Conflict):
        services.deploy(version=v1, by=BY)


def test_the_live_version_keeps_its_slot_until_the_next_one_has_one(
    v1: ModelVersion, v2: ModelVersion, server_redis: redis.Redis
) -> None:
    go_live(v1)
    note(server_redis, svm=1, b=1, c=1)
    release = services.deploy(version=v2, by=BY)
    services.fail_release(release=release, error="")
    note(server_redis, svm=1, b=1, c=1, d=1)
    with pytest.raises(Conflict):
        services.deploy(version=v2, by=BY)


def test_a_deploy_of_more_replicas_than_leave_a_slot_free_is_refused(
    v1: ModelVersion, v2: ModelVersion, server_redis: redis.Redis
) -> None:
    ModelVersion.objects.update(replicas=50)
    note(server_redis, total=12, b=4, c=2)
    with pytest.raises(Conflict) as refused:
        services.deploy(version=ModelVersion.objects.get(pk=v1.pk), by=BY)
    assert refused.value.details["most"] == 5

    way_back = services.roll_back(model=v1.model, to=v1, by=BY)
    services.fail_release(release=way_back, error="")

    Model.objects.filter(name="svm").update(live_version=v2)  # with as many
    assert services.deploy(version=ModelVersion.objects.get(pk=v1.pk), by=BY).is_open


def test_a_rollback_to_a_warm_version_needs_no_slot(
    svm: Model, v1: ModelVersion, v2: ModelVersion, server_redis: redis.Redis
) -> None:
    go_live(v1)
    go_live(v2)
    note(server_redis, svm=1, b=1, c=1, d=1)
    assert services.roll_back(model=svm, by=BY).state == "live"


def test_a_model_is_scaled_up_to_what_leaves_a_slot_free(
    manager: Api, v1: ModelVersion, server_redis: redis.Redis
) -> None:
    go_live(v1)
    note(server_redis, total=12, svm=1, b=4, c=2)

    answer = manager("post", "models/svm/scale", {"replicas": 50})

    assert answer.status_code == 409
    assert answer.json()["details"]["most"] == 5
    assert "12 slots for cpu, 5 free" in answer.json()["error"]
    assert ModelVersion.objects.get(pk=v1.pk).replicas == 1
    assert manager("post", "models/svm/scale", {"replicas": 5}).status_code == 200
    patched = manager("patch", "models/svm/versions/1", {"replicas": 6})
    assert patched.status_code == 409


def test_a_model_with_more_replicas_than_slots_can_be_scaled_down(
    v1: ModelVersion, server_redis: redis.Redis
) -> None:
    go_live(v1)
    ModelVersion.objects.filter(pk=v1.pk).update(replicas=50)
    note(server_redis, svm=50)
    assert services.configure_version(version=v1, replicas=40, by=BY).replicas == 40


def test_nothing_is_refused_where_no_round_was_noted_lately(
    v1: ModelVersion, add_version: AddVersion, server_redis: redis.Redis
) -> None:
    go_live(v1)
    note(server_redis, svm=1, b=1, c=1, d=1)
    server_redis.pexpire(KEY, int((KEPT_S - 60) * 1000))
    assert services.configure_version(version=v1, replicas=50, by=BY).replicas == 50
    assert services.deploy(version=add_version("9"), by=BY).is_open
