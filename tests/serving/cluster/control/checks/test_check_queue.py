"""Automatic checks of uploads; those that a release waits for go first."""

import pytest
import redis

from registry import services
from registry.models import ModelVersion, Release, VersionCheck
from tests.serving.cluster.control.rounds import BY, Rounds, make_version

pytestmark = pytest.mark.django_db


def an_upload(name: str) -> VersionCheck:
    return services.request_check(make_version(name))


def done(check: VersionCheck, *, client: redis.Redis) -> None:
    services.pass_check(check=check)
    client.delete(f"clipper:checking:{check.pk}")


def test_uploads_are_tried_out_one_at_a_time(rounds: Rounds, client: redis.Redis) -> None:
    checks = [an_upload(f"model-{number}") for number in range(3)]
    rounds.run()
    rounds.run()
    assert rounds.checking == [checks[0].pk]
    done(checks[0], client=client)
    rounds.run()
    assert rounds.checking == [check.pk for check in checks[:2]]


def test_what_a_release_waits_for_goes_first(rounds: Rounds) -> None:
    first, second, third = (an_upload(f"model-{number}") for number in range(3))
    rounds.run()
    release = services.deploy(version=third.version, by=BY)
    rounds.run()
    release.refresh_from_db()
    assert rounds.checking == [first.pk, third.pk]
    assert release.progress == "being tried out"
    assert second.is_open


@pytest.mark.parametrize(("available_mb", "begun"), [(16_000, 2), (6_000, 1), (0, 1)])
def test_a_second_one_runs_if_both_fit_into_half_of_the_memory(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch, available_mb: int, begun: int
) -> None:
    monkeypatch.setattr(
        "serving.cluster.control.checks.check_queue.available_bytes", lambda: available_mb << 20
    )
    limited, large = make_version("a", memory_limit_mb=2048), make_version("b", size=512 << 20)
    for version in (limited, large):
        services.deploy(version=version, by=BY)
    rounds.run()
    assert len(rounds.checking) == begun


def needing(name: str, package: str) -> ModelVersion:
    version = make_version(name, requirements=package)
    version.runtime = "python"  # which adds no packages
    version.save()
    return version


@pytest.mark.usefixtures("server_info")
def test_a_build_holds_no_check_up(client: redis.Redis) -> None:
    rounds = Rounds(client, most_checks=1)
    slow, slower = needing("slow", "toaster"), needing("slower", "oven")
    releases = [services.deploy(version=version, by=BY) for version in (slow, slower)]
    rounds.run()
    building = [VersionCheck.objects.get(version=slow).pk]
    assert rounds.checking == building
    client.set(f"clipper:checking:{building[0]}", "building its environment: resolving")

    plain = services.deploy(version=make_version("plain"), by=BY)
    rounds.run()

    assert rounds.checking == [*building, VersionCheck.objects.get(version=plain.version).pk]
    told = [Release.objects.get(pk=release.pk).progress for release in (*releases, plain)]
    assert told == [
        "building its environment: resolving",
        "building its environment: waiting for another build",
        "being tried out",
    ]


def test_a_release_waits_for_the_check_of_its_upload(rounds: Rounds) -> None:
    check = an_upload("svm")
    rounds.run()
    release = services.deploy(version=check.version, by=BY)
    report = {"samples": [{"input": "[1]", "output": "2"}]}
    services.pass_check(check=check, output="hello", report=report)
    rounds.run()
    release.refresh_from_db()
    assert (release.state, rounds.checking) == (Release.State.STARTING, [check.pk])
    assert (release.output, release.report["samples"]) == ("hello", report["samples"])


def test_a_release_fails_with_the_check_that_it_waits_for(rounds: Rounds) -> None:
    check = an_upload("svm")
    release = services.deploy(version=check.version, by=BY)
    rounds.run()
    services.fail_check(check=check, error="no weights", output="loading")
    rounds.run()
    release.refresh_from_db()
    assert (release.state, release.error) == (Release.State.FAILED, "no weights")
    assert (release.output, release.report) == ("loading", {})
    assert not rounds.started


@pytest.mark.parametrize("passes", [True, False])
def test_limits_that_change_during_a_check_have_a_release_wait_for_another(
    rounds: Rounds, passes: bool
) -> None:
    check = an_upload("svm")
    rounds.run()
    began_with = ModelVersion.objects.get()
    services.configure_version(version=check.version, by=BY, memory_limit_mb=256)
    release = services.deploy(version=check.version, by=BY)
    check.version = began_with
    if passes:
        services.pass_check(check=check)
    else:
        services.fail_check(check=check, error="no room")
    rounds.run()
    rounds.run()
    release.refresh_from_db()
    assert (release.state, release.progress) == (Release.State.PENDING, "being tried out")
    again = VersionCheck.objects.get()
    assert rounds.checking == [check.pk, again.pk]
    services.pass_check(check=again)
    rounds.run()
    release.refresh_from_db()
    assert release.state == Release.State.STARTING


def test_a_rollback_goes_on_whatever_its_last_check_said(rounds: Rounds) -> None:
    check = an_upload("svm")
    services.pass_check(check=check)
    VersionCheck.objects.update(state=VersionCheck.State.FAILED, error="no room")
    version = ModelVersion.objects.get()
    release = services.roll_back(model=version.model, to=version, by=BY)
    rounds.run()
    release.refresh_from_db()
    assert release.state == Release.State.STARTING
