"""Versions that an application asks at this moment, and its terms."""

from dataclasses import replace
from math import inf

from core.specs import ApplicationSpec, ModelSpec, RouteSpec, Snapshot
from serving.engine.gather import CallOptions
from serving.query.routing import Router
from serving.testing import application_spec, version_spec


def snapshot(*, live: int | None, pinned: int | None = None) -> Snapshot:
    route = RouteSpec(model_id=1, model="m", role="arm", weight=1.0, pinned_version_id=pinned)
    versions = {n: replace(version_spec(n), model_id=1, model="m", version=str(n)) for n in (1, 2)}
    return Snapshot(
        applications={"digits": application_spec(routes=(route,))},
        models={1: ModelSpec(id=1, name="m", input_type="doubles", live_version_id=live)},
        versions=versions,
        versions_by_arm={v.arm: v for v in versions.values()},
    )


def arms(router: Router) -> list[str]:
    return list(router.arms(router.snapshot.applications["digits"]).weights)


def test_a_route_follows_the_live_version() -> None:
    router = Router(connected=lambda _: True)
    router.apply(snapshot(live=1))
    assert arms(router) == ["m:1"]
    router.apply(snapshot(live=2))
    assert arms(router) == ["m:2"]


def test_the_old_version_serves_until_the_new_one_is_connected() -> None:
    connected = {1}
    router = Router(connected=connected.__contains__)
    router.apply(snapshot(live=1))
    router.apply(snapshot(live=2))
    assert arms(router) == ["m:1"]
    connected.add(2)
    router.refresh()
    assert arms(router) == ["m:2"]


def test_without_the_old_one_the_new_version_is_taken_at_once() -> None:
    connected = {1}
    router = Router(connected=connected.__contains__)
    router.apply(snapshot(live=1))
    router.apply(snapshot(live=2))
    connected.clear()
    router.refresh()
    assert arms(router) == ["m:2"]


def test_a_pinned_route_stays_with_its_version() -> None:
    router = Router(connected=lambda _: True)
    router.apply(snapshot(live=2, pinned=1))
    assert arms(router) == ["m:1"]


def test_a_model_never_deployed_has_no_arm() -> None:
    router = Router(connected=lambda _: True)
    router.apply(snapshot(live=None))
    assert arms(router) == []


def test_unchanged_arms_are_the_same_object() -> None:
    """Selection caches its arithmetic by the identity of the arms."""
    router = Router(connected=lambda _: True)
    router.apply(snapshot(live=1))
    before = router.arms(router.snapshot.applications["digits"])
    router.apply(snapshot(live=1))
    assert router.arms(router.snapshot.applications["digits"]) is before


def routed(*applications: ApplicationSpec) -> Router:
    router = Router(connected=lambda _: True)
    router.apply(replace(snapshot(live=1), applications={one.name: one for one in applications}))
    return router


def test_an_application_asks_on_its_own_terms() -> None:
    spec = application_spec(id=3, priority=0, cache=False)
    assert routed(spec).arms(spec).options == CallOptions(
        tenant=3, priority=0, cached=False, max_age=inf
    )


def test_answers_from_the_cache_may_be_as_old_as_the_application_says() -> None:
    spec = application_spec(cache_ttl_s=2.5)
    assert routed(spec).arms(spec).options.max_age == 2.5


def test_an_application_that_was_just_deleted_may_finish_what_it_asks() -> None:
    assert routed().arms(application_spec(id=9, priority=2)).options == CallOptions(
        tenant=9, priority=2
    )


def test_a_version_is_held_to_the_shortest_objective_of_those_it_serves() -> None:
    route = RouteSpec(model_id=1, model="m", role="arm", weight=1.0, pinned_version_id=None)
    specs = [
        application_spec(id=id, name=f"a{id}", slo_ms=slo_ms, routes=(route,))
        for id, slo_ms in ((1, 80.0), (2, 20.0), (3, 50.0))
    ]
    assert routed(*specs).objective_ms(1) == 20.0
    assert routed().objective_ms(1) is None
