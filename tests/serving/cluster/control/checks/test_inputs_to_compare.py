"""The check of a new version has it answer what the live one was asked, where that is kept."""

import msgspec
import pytest
import redis

from registry import services
from registry.models import Application, Model, ModelVersion
from selection.store.input_samples import ROWS, Row
from selection.store.redis_keys import input_sample_key
from serving.cluster.control.checks.kept_inputs import find_kept_inputs
from serving.container.check_report import Agreement, CheckReport

pytestmark = pytest.mark.django_db

BY = services.Actor.of_command("test")


@pytest.fixture
def model() -> Model:
    return services.create_model(name="svm", input_type="doubles", by=BY)


def version(model: Model, name: str, *, runtime: str = "sklearn") -> ModelVersion:
    return ModelVersion.objects.create(
        model=model, version=name, runtime=runtime, digest="a" * 64, size=1
    )


def live(model: Model, name: str) -> None:
    Model.objects.filter(pk=model.pk).update(live_version=version(model, name))


def application(name: str, model: Model, *, keep_inputs: bool) -> Application:
    return services.create_application(
        name=name,
        input_type="doubles",
        routes=[services.RouteRequest(model=model.name)],
        slo_ms=100,
        keep_inputs=keep_inputs,
        by=BY,
    )


def keep(client: redis.Redis, application: Application, *rows: Row, arm: str = "svm:1") -> None:
    client.rpush(input_sample_key(application.pk, arm), *map(msgspec.msgpack.encode, rows))


def coming(model: Model, *, runtime: str = "sklearn") -> ModelVersion:
    return version(model, "2", runtime=runtime)


def test_those_of_every_application_that_keeps_them_are_asked(
    client: redis.Redis, model: Model
) -> None:
    live(model, "1")
    rows = [(b"[%d]" % number, b"1") for number in range(ROWS)]
    for name, keeps in (("a", True), ("b", True), ("c", False)):
        keep(client, application(name, model, keep_inputs=keeps), *rows)
    found = find_kept_inputs(coming(model), client=client)
    assert found.arm == "svm:1"
    assert found.rows == rows[ROWS // 2 :] * 2


def test_what_another_version_was_asked_is_nothing_to_compare_with(
    client: redis.Redis, model: Model
) -> None:
    keep(client, application("a", model, keep_inputs=True), (b"[1]", b"1"), arm="svm:0")
    going = coming(model)
    assert find_kept_inputs(going, client=client).rows == []  # nothing is live
    live(model, "1")
    assert find_kept_inputs(going, client=client).rows == []


def test_a_remote_version_is_not_asked(client: redis.Redis, model: Model) -> None:
    live(model, "1")
    keep(client, application("a", model, keep_inputs=True), (b"[1]", b"1"))
    assert find_kept_inputs(coming(model, runtime="remote"), client=client).rows == []


def test_the_report_names_the_version_that_was_compared(client: redis.Redis, model: Model) -> None:
    live(model, "1")
    found = find_kept_inputs(coming(model), client=client)
    agreement = Agreement(inputs=2, answered=2, same=1, largest_difference=0.5)
    assert found.describe(CheckReport(kept=agreement)) == {
        "kept": {
            "with": "svm:1",
            "inputs": 2,
            "answered": 2,
            "same": 1,
            "largest_difference": 0.5,
        }
    }
    assert found.describe(CheckReport()) == {}
