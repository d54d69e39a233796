"""Rules: what each finds, in a sentence, and what it leaves to others."""

from typing import Any

import pytest

from core.specs import VersionSpec
from registry.models import Release, Rollout
from registry.models.rollouts.rollout_plans import PLANS, definition_of
from serving.alerts.alert_rules import (
    RULES,
    ApplicationFacts,
    Facts,
    StackFacts,
    VersionFacts,
)
from serving.alerts.burn_rates import BadShare


def version(name: str = "knn", **facts: Any) -> VersionFacts:
    spec = VersionSpec(
        id=2,
        model_id=3,
        model=name,
        version="1",
        runtime="sklearn",
        input_type="doubles",
        digest="",
        device="cpu",
        replicas=facts.pop("wanted", 1),
        allow_pickle=False,
        generation=0,
    )
    return VersionFacts(spec=spec, **facts)


def found(facts: Facts) -> dict[str, str]:
    return {
        name: f"{finding.subject}: {finding.sentence}"
        for name, rule in RULES.items()
        if isinstance(facts, rule.about)
        for finding in rule.check(facts)
    }


def application(**facts: Any) -> ApplicationFacts:
    return ApplicationFacts(id=1, **facts)


def test_every_rule_says_what_to_do() -> None:
    assert [name for name, rule in RULES.items() if not rule.advice.endswith(".")] == []


def test_nothing_is_found_where_all_is_well() -> None:
    well = version(calls=1000, failed=1, model_ms=20.0)
    assert found(application(versions=[well], within=lambda seconds: BadShare(3, 1000))) == {}
    assert found(StackFacts(free_bytes=10 << 30, reserve_bytes=256 << 20, redis_used=0.5)) == {}


def test_an_application_without_a_ready_replica_has_no_answer() -> None:
    down = version(ready=0, problem="it can't load: no file")
    assert found(application(versions=[down]))["no_answer"] == (
        ": No replica of knn:1 is ready. it can't load: no file"
    )


def test_one_version_of_two_without_a_replica_fails_alone() -> None:
    facts = application(versions=[version(ready=0), version("svm")])
    assert found(facts) == {"version_failing": "knn:1: It has no ready replica."}


def test_a_version_scaled_to_nothing_is_no_outage() -> None:
    assert found(application(versions=[version(ready=0, wanted=0)])) == {}


def test_five_unanswered_queries_in_a_row_are_an_outage_whose_cause_is_named() -> None:
    assert found(application(unanswered={"failed": 3, "timed_out": 1})) == {}
    sentence = found(application(unanswered={"failed": 5, "timed_out": 1}))["no_answer"]
    assert sentence == ": No model answered the last 6 queries: most failed in the model."


@pytest.mark.parametrize(
    ("failed", "calls", "fails"), [(1, 2, False), (2, 10, False), (9, 40, True), (60, 1000, False)]
)
def test_a_version_fails_where_chance_does_not_explain_it(
    failed: int, calls: int, fails: bool
) -> None:
    facts = application(versions=[version(failed=failed, calls=calls)])
    assert ("version_failing" in found(facts)) == fails


def test_a_model_slower_than_the_objective_needs_no_more_replicas() -> None:
    facts = application(slo_ms=50.0, versions=[version(model_ms=364.2)])
    assert found(facts) == {
        "too_slow": "knn:1: Its model takes 364 ms (median), the objective is 50 ms: "
        "more replicas won't help."
    }


def test_burn_rates_and_a_missed_objective_are_told_in_queries() -> None:
    sentences = found(application(within=lambda seconds: BadShare(200, 1000)))
    assert sentences["fast_burn"] == (
        ": 200 of 1,000 queries were bad within 60 min: "
        "the error budget burns 20.0 times as fast as it may."
    )
    assert "80.00 % of 1,000 queries were good within 28 days" in sentences["objective_missed"]


def test_alarms_of_an_experiment_are_alerts() -> None:
    alarm = {"state": "alarm", "reason": "None for 3 hours."}
    facts = application(health={"silence": alarm, "mismatch": alarm, "delay": {"state": "good"}})
    assert found(facts) == {
        "labels_stopped": "silence: Labels have stopped. None for 3 hours.",
        "experiment_unsound": "mismatch: Labels depend on the version. None for 3 hours.",
    }


def test_a_release_that_failed_is_named_with_its_reason() -> None:
    release = Release(model_id=3, model_name="knn", version_name="2", error="it can't load\nmore")
    release.state = Release.State.FAILED
    assert found(application(releases=[release])) == {
        "release_ended": "knn:2: The release failed: it can't load"
    }


def test_a_rollout_that_waits_for_somebody_is_named() -> None:
    release = Release(pk=5, model_id=3, model_name="knn", version_name="2")
    plan = definition_of(PLANS["quick"])
    held = Rollout(release=release, model_id=3, definition=plan, state="held", held_from="canary")
    held.reason = "metric clicks: proved worse"
    assert found(application(held=[held])) == {
        "rollout_held": "knn:2: It is held at 10 %: metric clicks: proved worse"
    }


def test_the_disk_and_redis_have_alerts_of_their_own() -> None:
    tight = StackFacts(free_bytes=400 << 20, reserve_bytes=256 << 20, redis_error="refused")
    assert found(tight) == {
        "disk": ": 400 MiB are free; uploads are refused below 256 MiB.",
        "redis": ": It doesn't answer: refused",
    }
