"""The demo: what it trains, that it can be run again, and what it tells."""

import json
import stat
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import skops.io
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from registry import services
from registry.artifacts.artifact_store import ArtifactStore
from registry.demo.classifiers import DemoVersion
from registry.demo.digits import held_out
from registry.models import ApiKey, Application, Model, ModelVersion, Release

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def _trained_once() -> Iterator[None]:
    """Each test seeds anew; what training gives is the same every time."""
    with patch.object(DemoVersion, "train", cache(DemoVersion.train)):
        yield


MODELS = ["svm-linear", "svm-rbf", "knn", "mlp", "naive-bayes"]


def seed(*arguments: str) -> str:
    out = StringIO()
    call_command("seed_demo", *(arguments or ("--no-wait",)), stdout=out, stderr=StringIO())
    return out.getvalue()


def told(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "demo.json").read_text())
    return content


def estimator(version: ModelVersion) -> Any:
    content = ArtifactStore.default().path_of(version.digest).read_bytes()
    assert skops.io.get_untrusted_types(data=content) == []
    return skops.io.loads(content)


def test_it_makes_models_applications_and_access(tmp_path: Path, settings: Settings) -> None:
    settings.CLIPPER_PORT = 8123
    printed = seed()
    known = told(tmp_path)
    assert list(known) == [
        "url",
        "admin_user",
        "admin_password",
        "api_key",
        "applications",
        "models",
    ]
    assert known["url"] == "http://127.0.0.1:8123"
    assert (known["applications"], known["models"]) == (["digits", "digits-single"], MODELS)
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600
    admin = authenticate(username=known["admin_user"], password=known["admin_password"])
    assert admin is not None
    assert admin.is_superuser
    key = ApiKey.objects.get(digest=ApiKey.digest_of(known["api_key"]))
    assert (key.scopes, key.bound) == (frozenset({"predict", "feedback", "read", "manage"}), False)
    for secret in (known["admin_password"], known["api_key"]):
        assert secret not in printed


def test_the_first_versions_are_deployed_and_two_second_ones_wait() -> None:
    seed()
    deployed = Release.objects.order_by("id").select_related("version__model")
    assert [str(release.version) for release in deployed] == [
        f"{name}:1" for name in sorted(MODELS)
    ]
    second = ModelVersion.objects.filter(version="2").select_related("model")
    assert sorted(map(str, second)) == ["mlp:2", "svm-linear:2"]


def test_the_vote_is_good_and_the_models_differ() -> None:
    seed()
    images, labels = held_out()
    said = {
        str(version): estimator(version).predict(images)
        for version in ModelVersion.objects.select_related("model")
    }
    right = {arm: float(np.mean(answers == labels)) for arm, answers in said.items()}
    votes = np.zeros((len(labels), 10))
    for name in MODELS:
        votes[np.arange(len(labels)), said[f"{name}:1"]] += 1
    assert np.mean(votes.argmax(axis=1) == labels) >= 0.96
    assert right["naive-bayes:1"] < max(right.values()) - 0.1
    assert right["svm-linear:2"] < right["svm-linear:1"] - 0.1
    assert right["mlp:2"] > right["mlp:1"]
    assert all(isinstance(answers[0].item(), int) for answers in said.values())


def test_seeding_again_keeps_everything_but_the_port(tmp_path: Path, settings: Settings) -> None:
    seed()
    before = told(tmp_path), list(Release.objects.values()), list(ModelVersion.objects.values())
    assert "seeded already; everything was kept" in seed()
    after = told(tmp_path), list(Release.objects.values()), list(ModelVersion.objects.values())
    assert after == before
    settings.CLIPPER_PORT = 9999
    seed()
    assert told(tmp_path) == before[0] | {"url": "http://127.0.0.1:9999"}


def test_an_interrupted_seed_is_completed(tmp_path: Path) -> None:
    seed()
    Application.objects.all().delete()
    services.delete_model(model=Model.objects.get(name="knn"), by=services.SYSTEM)
    (tmp_path / "demo.json").unlink()
    seed()
    assert Model.objects.count() == len(MODELS)
    assert Application.objects.count() == 2
    known = told(tmp_path)
    assert authenticate(username="admin", password=known["admin_password"]) is not None
    assert [key.is_active for key in ApiKey.objects.all()] == [True, False]


def test_a_failed_first_release_is_tried_again(tmp_path: Path) -> None:
    seed()
    release = Release.objects.get(model__name="knn")
    services.fail_release(release=release, error="no worker")
    assert "Deploying knn:1." in seed()
    assert Release.objects.filter(model__name="knn").count() == 2


def test_it_waits_no_longer_than_it_is_told() -> None:
    with pytest.raises(CommandError, match="still pending"):
        seed("--timeout", "0.01")
