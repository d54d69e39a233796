"""Check of a declaration, which reports refusals before any of it is made."""

from typing import Any

import pytest

from registry.models import ApiKey, Application, AuditEntry, Model, ModelVersion
from tests.registry.conftest import Api, make_key

MODEL = {"kind": "model", "name": "tree", "declared": {"input_type": "doubles"}}
VERSION = {
    "kind": "version",
    "name": "tree:1",
    "declared": {"runtime": "sklearn", "replicas": "2", "digest": "0" * 64},
}
APPLICATION = {
    "kind": "application",
    "name": "trees",
    "declared": {"input_type": "doubles", "slo_ms": 50, "routes": [{"model": "tree"}]},
}
PINNED = APPLICATION | {
    "declared": {**APPLICATION["declared"], "routes": [{"model": "tree", "version": "1"}]}  # type: ignore[dict-item]  # a dict
}
KEY = {
    "kind": "key",
    "name": "shop",
    "declared": {"scopes": ["predict"], "applications": ["trees"]},
}
REMOTE = {"runtime": "remote", "protocol": "mlflow", "url": "http://192.0.2.7:1/"}


def refused(api: Api, *steps: Any) -> list[tuple[str, str]]:
    answer = api("post", "declarations/check", {"steps": list(steps)})
    assert answer.status_code == 200, answer.content
    return [(each["name"], each["error"]) for each in answer.json()["refused"]]


def changed(step: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return step | {"declared": {**step["declared"], **fields}}


@pytest.fixture
def reader(db: None) -> Api:
    """Holds a key that sees everything and changes nothing."""
    return Api(key=make_key(scopes=("read",)))


def test_what_can_be_is_not_refused_and_nothing_of_it_stays(manager: Api) -> None:
    before = AuditEntry.objects.count()
    assert refused(manager, MODEL, VERSION, PINNED, KEY) == []
    assert not Model.objects.exists()
    assert not Application.objects.exists()
    assert ApiKey.objects.count() == 1
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize(
    "step",
    [
        changed(MODEL, input_type="double"),
        changed(VERSION, runtime="pyhton"),
        changed(VERSION, replicas="many"),
        changed(VERSION, requirements="-r other.txt"),
        changed(VERSION, example='["a"]'),
        VERSION | {"declared": REMOTE},
        VERSION | {"declared": {**REMOTE, "replicas": "2"}},
        changed(APPLICATION, policy="exp5"),
        changed(APPLICATION, routes=[{"model": "bush"}]),
        changed(KEY, scopes=["admin"]),
    ],
)
def test_only_the_step_that_is_wrong_is_refused(manager: Api, step: dict[str, Any]) -> None:
    steps = [
        each if each["name"] != step["name"] else step
        for each in (MODEL, VERSION, APPLICATION, KEY)
    ]
    assert [name for name, _ in refused(manager, *steps)] == [step["name"]]


def test_what_is_there_is_judged_as_a_change(manager: Api, digits: Application) -> None:
    v1 = {"kind": "version", "name": "svm:1", "declared": {"replicas": 3}}
    app = {"kind": "application", "name": "digits", "declared": {"slo_ms": 40}}
    assert refused(manager, v1, app) == []
    assert ModelVersion.objects.get().replicas == 1
    wrong = [changed(v1, replicas=-1), changed(app, slo_ms=0), changed(app, input_type="json")]
    assert [name for name, _ in refused(manager, *wrong)] == ["svm:1", "digits", "digits"]


def test_a_version_that_is_to_be_made_and_is_there_meanwhile_is_said_to_be(
    manager: Api, v1: ModelVersion
) -> None:
    step = {"kind": "version", "name": "svm:1", "declared": VERSION["declared"]}
    [(name, words)] = refused(manager, step)
    assert (name, "svm:1 exists already" in words) == ("svm:1", True)


def test_what_can_not_go_is_refused_unless_what_needs_it_goes_first(
    manager: Api, digits: Application, v1: ModelVersion
) -> None:
    def step(action: str, kind: str, name: str, **said: Any) -> dict[str, Any]:
        return {"action": action, "kind": kind, "name": name, "declared": said}

    model = step("delete", "model", "svm")
    ((name, error),) = refused(manager, model)
    assert (name, "svm is routed by digits" in error) == ("svm", True)
    assert refused(manager, step("delete", "application", "digits"), model) == []
    live = step("delete", "version", "svm:1")
    Model.objects.update(live_version=v1)
    assert [name for name, _ in refused(manager, live)] == ["svm:1"]
    assert refused(manager, step("deploy", "model", "svm", version="2"), live) == []
    assert [name for name, _ in refused(manager, step("deploy", "model", "svm", version="1"))] == [
        "svm"
    ]
    assert Application.objects.exists()
    assert Model.objects.get().live_version == v1


def test_a_key_revokes_none_that_manages(manager: Api, reader: Api) -> None:
    make_key(scopes=("manage",))
    other = ApiKey.objects.latest("pk")
    step = {"action": "delete", "kind": "key", "name": "a key", "declared": {"id": other.pk}}
    ((name, error),) = refused(manager, step)
    assert (name, "revoked by people" in error) == ("a key", True)
    assert refused(reader, step) == []
    other.refresh_from_db()
    assert other.revoked_at is None


def test_a_key_that_only_reads_may_ask_and_is_told_what_whoever_applies_it_is(
    reader: Api, manager: Api
) -> None:
    code = changed(VERSION, runtime="python")
    assert refused(reader, MODEL, code, changed(APPLICATION, policy="exp5"))[0][0] == "trees"
    ((name, error),) = refused(manager, MODEL, code)
    assert (name, "registry.run_code" in error) == ("tree:1", True)


def test_a_bound_key_is_told_of_what_is_its_own(bound_manager: Api) -> None:
    own = {"kind": "application", "name": "digits", "declared": {"slo_ms": 40}}
    assert refused(bound_manager, own) == []
    others = (MODEL, APPLICATION, KEY, changed(own, routes=[{"model": "other"}]))
    assert [name for name, _ in refused(bound_manager, *others)] == [
        "tree",
        "trees",
        "shop",
        "digits",
    ]


def test_too_many_steps_and_unknown_kinds_are_refused(manager: Api) -> None:
    for steps in ([MODEL] * 501, [MODEL | {"kind": "route"}], [{"kind": "model"}], "model"):
        answer = manager("post", "declarations/check", {"steps": steps})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
