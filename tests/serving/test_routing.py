from dataclasses import replace

from registry.specs import ModelSpec, RouteSpec, Snapshot
from serving.routing import Router
from tests.serving.test_query import application, version


def snapshot(*, live: int | None, pinned: int | None = None) -> Snapshot:
    route = RouteSpec(model_id=1, model="m", role="arm", weight=1.0, pinned_version_id=pinned)
    versions = {n: replace(version(n), model_id=1, model="m", version=str(n)) for n in (1, 2)}
    return Snapshot(
        applications={"digits": application(routes=(route,))},
        models={1: ModelSpec(id=1, name="m", input_type="doubles", live_version_id=live)},
        versions=versions,
        versions_by_arm={v.arm: v for v in versions.values()},
    )


def arms(router: Router) -> list[str]:
    return list(router.arms(router.snapshot.applications["digits"]).weights)


def test_a_route_follows_the_live_version():
    router = Router(connected=lambda _: True)
    router.apply(snapshot(live=1))
    assert arms(router) == ["m:1"]
    router.apply(snapshot(live=2))
    assert arms(router) == ["m:2"]


def test_the_old_version_serves_until_the_new_one_is_connected():
    connected = {1}
    router = Router(connected=connected.__contains__)
    router.apply(snapshot(live=1))
    router.apply(snapshot(live=2))
    assert arms(router) == ["m:1"]
    connected.add(2)
    router.refresh()
    assert arms(router) == ["m:2"]


def test_without_the_old_one_the_new_version_is_taken_at_once():
    connected = {1}
    router = Router(connected=connected.__contains__)
    router.apply(snapshot(live=1))
    router.apply(snapshot(live=2))
    connected.clear()
    router.refresh()
    assert arms(router) == ["m:2"]


def test_a_pinned_route_stays_with_its_version():
    router = Router(connected=lambda _: True)
    router.apply(snapshot(live=2, pinned=1))
    assert arms(router) == ["m:1"]


def test_a_model_never_deployed_has_no_arm():
    router = Router(connected=lambda _: True)
    router.apply(snapshot(live=None))
    assert arms(router) == []


def test_unchanged_arms_are_the_same_object():
    """Selection caches its arithmetic by the identity of the arms."""
    router = Router(connected=lambda _: True)
    router.apply(snapshot(live=1))
    before = router.arms(router.snapshot.applications["digits"])
    router.apply(snapshot(live=1))
    assert router.arms(router.snapshot.applications["digits"]) is before
