"""Retention of versions: what is old and unused goes, what is asked or led back to stays."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django.fixtures import Settings

from registry import services
from registry.artifacts.artifact_store import ArtifactStore
from registry.models import Application, AuditEntry, Model, ModelVersion, Release
from registry.services import RouteRequest
from serving.capture.models import TrafficReplay
from serving.cluster.control.releases.retention import prune_old_versions
from tests.registry.conftest import BY, AddVersion, go_live

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("server_redis")]


def left() -> list[str]:
    return sorted(ModelVersion.objects.values_list("version", flat=True), key=int)


def lives(version: ModelVersion, *, well: bool = False) -> None:
    release = go_live(version)
    Release.objects.filter(pk=release.pk).update(did_well=well)
    ModelVersion.objects.update(warm_until=None)


def test_the_newest_stay_and_others_go_with_their_files(
    settings: Settings, add_version: AddVersion
) -> None:
    same = add_version("1", content=b"an artifact")
    old = add_version("2", content=b"another")
    add_version("3", content=b"an artifact")
    add_version("4")
    assert prune_old_versions() == []  # the setting keeps all, unless it is changed
    settings.CLIPPER_VERSIONS_KEPT = 2
    assert prune_old_versions(dry_run=True) == [old, same]
    assert left() == ["1", "2", "3", "4"]

    prune_old_versions()
    store = ArtifactStore.default()
    assert left() == ["3", "4"]
    assert store.file_of(same.digest)
    assert not store.file_of(old.digest)
    entries = AuditEntry.objects.filter(action="prune").order_by("pk")
    assert [entry.name for entry in entries] == ["svm:2", "svm:1"]
    assert entries[0].by == "Clipper"
    assert "2 newest" in entries[0].reason
    assert entries[0].changes["digest"] == [old.digest, None]


def test_a_way_back_stays_for_each_rollback_in_turn(add_version: AddVersion) -> None:
    for number in range(1, 5):
        lives(add_version(str(number)), well=True)
    for number in range(5, 9):
        lives(add_version(str(number)))
    prune_old_versions(kept=1)
    # 8 is live and the newest, 7 the one before it; 2 to 4 did well.
    assert left() == ["2", "3", "4", "7", "8"]
    model = Model.objects.get()
    for expected in ("4", "3", "2"):
        release = services.roll_back(model=model, by=BY)
        services.begin_release(release=release)
        services.complete_release(release=release)
        ModelVersion.objects.update(warm_until=None)
        prune_old_versions(kept=1)
        assert release.version_name == expected
        assert Release.objects.live().get() == release


def test_nothing_that_is_asked_or_on_its_way_goes(add_version: AddVersion) -> None:
    live, pinned, warm, replayed, *_ = [add_version(str(number)) for number in range(1, 6)]
    lives(live)
    application = services.create_application(
        name="digits",
        input_type="doubles",
        slo_ms=50.0,
        by=BY,
        routes=[RouteRequest(model="svm", version="2")],
    )
    later = timezone.now() + timedelta(minutes=5)
    ModelVersion.objects.filter(pk=warm.pk).update(warm_until=later)
    replay = a_replay(application, replayed)
    add_version("6")
    services.deploy(version=ModelVersion.objects.get(version="5"), by=BY, rollout="quick")
    prune_old_versions(kept=1)
    assert left() == ["1", "2", "3", "4", "5", "6"]

    TrafficReplay.objects.filter(pk=replay.pk).update(state=TrafficReplay.State.DONE)
    ModelVersion.objects.update(warm_until=None)
    prune_old_versions(kept=1)
    assert left() == ["1", "2", "5", "6"]
    assert pinned.version == "2"


def a_replay(application: Application, version: ModelVersion) -> TrafficReplay:
    rows = {"last_row": 1, "total": 1, "by": "a test"}
    return TrafficReplay.objects.create(application=application, version=version, **rows)


def test_the_command_says_what_would_go(
    add_version: AddVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in ("1", "2"):
        add_version(number)
    call_command("prune_versions", "--kept", "1", "--dry-run")
    assert "svm:1, 10 bytes, of 20" in (said := capsys.readouterr().out)
    assert said.endswith("1 would go.\n")
    call_command("prune_versions", "--kept", "1")
    assert left() == ["2"]
