"""Meaning of deploy and rollback, apart from any front."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.errors import Conflict
from registry import services
from registry.models import Model, ModelVersion, Release
from registry.models.release import wanted as wanted_of
from tests.registry.conftest import BY, AddVersion, go_live

pytestmark = pytest.mark.django_db


def states() -> list[tuple[str, str]]:
    rows = Release.objects.order_by("id").select_related("version")
    return [(row.version.version, row.state) for row in rows if row.version is not None]


def live(model: Model) -> str | None:
    model.refresh_from_db()
    return model.live_version.version if model.live_version else None


def test_traffic_switches_only_when_the_replicas_are_ready(
    svm: Model, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1)
    release = services.deploy(version=v2, by=BY)
    assert (release.state, live(svm)) == ("pending", "1")
    services.begin_release(release=release)
    assert (release.state, live(svm)) == ("starting", "1")
    services.complete_release(release=release)
    assert (release.state, live(svm)) == ("live", "2")


def test_replicas_are_wanted_from_the_start_until_the_version_is_cold(
    v1: ModelVersion, v2: ModelVersion
) -> None:
    def wanted(*, after: timedelta = timedelta()) -> list[str]:
        rows = wanted_of(ModelVersion.objects.all(), now=timezone.now() + after)
        return sorted(version.version for version in rows)

    go_live(v1)
    release = services.deploy(version=v2, by=BY)
    assert wanted() == ["1"]
    services.begin_release(release=release)
    assert wanted() == ["1", "2"]
    services.complete_release(release=release)
    assert wanted() == ["1", "2"]
    assert wanted(after=timedelta(hours=1)) == ["2"]


def test_a_newer_deploy_supersedes_one_under_way(
    svm: Model, v1: ModelVersion, v2: ModelVersion
) -> None:
    first = services.deploy(version=v1, by=BY)
    services.begin_release(release=first)
    second = services.deploy(version=v2, by=BY)
    assert states() == [("1", "superseded"), ("2", "pending")]
    # Whatever the cluster still reports about the first one changes nothing.
    services.begin_release(release=first)
    services.complete_release(release=first)
    services.fail_release(release=first, error="too late")
    assert states() == [("1", "superseded"), ("2", "pending")]
    assert (first.state, live(svm)) == ("superseded", None)
    assert second.state == "pending"


def test_a_rollback_to_a_warm_version_is_a_change_of_one_pointer(
    svm: Model, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1)
    go_live(v2)
    v1.refresh_from_db()
    generation = v1.generation
    release = services.roll_back(model=svm, by=BY, reason="worse")
    assert (release.state, release.kind, live(svm)) == ("live", "rollback", "1")
    assert release.previous_version == v2
    assert states() == [("1", "superseded"), ("2", "superseded"), ("1", "live")]
    v1.refresh_from_db()
    assert (v1.generation, v1.warm_until) == (generation, None)


def test_a_rollback_after_a_rollback_goes_further_back_not_to_what_was_broken(
    svm: Model, v1: ModelVersion, v2: ModelVersion, add_version: AddVersion
) -> None:
    for version in (v1, v2, add_version("3")):
        go_live(version)
    services.roll_back(model=svm, by=BY, reason="confuses 3 and 8")
    assert live(svm) == "2"
    assert services.roll_back(model=svm, by=BY).version == v1


def test_a_rollback_to_a_cold_version_starts_it_afresh(
    svm: Model, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1)
    go_live(v2)
    ModelVersion.objects.update(warm_until=timezone.now() - timedelta(seconds=1))
    v1.refresh_from_db()
    release = services.roll_back(model=svm, by=BY)
    assert (release.state, live(svm)) == ("pending", "2")
    services.begin_release(release=release)
    before = v1.generation
    v1.refresh_from_db()
    assert v1.generation == before + 1


def test_only_the_version_that_was_left_stays_warm(
    v1: ModelVersion, v2: ModelVersion, add_version: AddVersion
) -> None:
    for version in (v1, v2, add_version("3")):
        go_live(version)
    warm = ModelVersion.objects.filter(warm_until__isnull=False)
    assert [version.version for version in warm] == ["2"]


def test_nothing_stays_warm_where_that_is_turned_off(
    svm: Model, v1: ModelVersion, v2: ModelVersion, settings: Settings
) -> None:
    settings.CLIPPER_WARM_SECONDS = 0
    go_live(v1)
    go_live(v2)
    assert services.roll_back(model=svm, by=BY).state == "pending"


def test_a_rollback_during_a_deploy_takes_back_the_deploy_alone(
    svm: Model, v1: ModelVersion, v2: ModelVersion, add_version: AddVersion
) -> None:
    go_live(v1)
    deployed = go_live(v2)
    under_way = services.deploy(version=add_version("3"), by=BY)
    assert services.roll_back(model=svm, by=BY, reason="a typo") == deployed
    assert (states()[1:], live(svm)) == ([("2", "live"), ("3", "superseded")], "2")
    under_way.refresh_from_db()
    assert under_way.error == "Called off by a test: a typo"


def test_a_rollback_during_a_first_deploy_leaves_nothing_live(svm: Model, v1: ModelVersion) -> None:
    under_way = services.deploy(version=v1, by=BY)
    assert services.roll_back(model=svm, by=BY) == under_way
    assert (states(), live(svm)) == ([("1", "superseded")], None)


def test_a_rollback_to_a_chosen_version_supersedes_a_deploy_under_way(
    svm: Model, v1: ModelVersion, v2: ModelVersion, add_version: AddVersion
) -> None:
    go_live(v1)
    go_live(v2)
    services.deploy(version=add_version("3"), by=BY)
    services.roll_back(model=svm, to=v1, by=BY)
    assert states()[2:] == [("3", "superseded"), ("1", "live")]


def test_a_rollback_without_a_past_is_a_conflict(svm: Model, v1: ModelVersion) -> None:
    with pytest.raises(Conflict, match="no earlier live version"):
        services.roll_back(model=svm, by=BY)
    go_live(v1)
    with pytest.raises(Conflict, match="no earlier live version"):
        services.roll_back(model=svm, by=BY)


def test_a_deleted_model_ends_its_releases_quietly(svm: Model, v1: ModelVersion) -> None:
    release = services.deploy(version=v1, by=BY)
    services.delete_model(model=svm, by=services.SYSTEM)
    services.begin_release(release=release)
    services.complete_release(release=release)
    services.fail_release(release=release, error="gone")
    kept = Release.objects.get()
    assert (kept.state, kept.arm, kept.model, kept.version) == ("superseded", "svm:1", None, None)
    assert kept.error == "svm was deleted by Clipper."
