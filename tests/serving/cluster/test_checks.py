"""What was uploaded is tried out by itself; what a release waits for goes first."""

from __future__ import annotations

import pytest
import redis

from registry import services
from registry.models import ModelVersion, Release, VersionCheck
from serving.cluster.control.checks import fitting_checks
from tests.serving.cluster.rounds import BY, Rounds, make_version

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


@pytest.mark.usefixtures("server_info")
def test_where_one_is_tried_out_at_a_time_the_others_say_so(client: redis.Redis) -> None:
    rounds = Rounds(client, most_checks=1)
    releases = [services.deploy(version=make_version(f"model-{n}"), by=BY) for n in range(2)]
    rounds.run()
    rounds.run()
    told = [Release.objects.get(pk=release.pk).progress for release in releases]
    assert told == ["being tried out", "waiting until another version has been tried out"]
    assert len(rounds.checking) == 1


@pytest.mark.parametrize(("cores", "most"), [(1, 1), (2, 1), (3, 2), (64, 2)])
def test_a_small_machine_tries_one_out_at_a_time(cores: int, most: int) -> None:
    assert fitting_checks(cores) == most


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


def test_a_release_of_before_there_were_checks_gets_one(rounds: Rounds) -> None:
    release = services.deploy(version=make_version(), by=BY)
    VersionCheck.objects.all().delete()
    rounds.run()
    rounds.run()
    assert rounds.checking == [VersionCheck.objects.get(version=release.version_id).pk]
