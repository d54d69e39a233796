"""Reports of checks: kept with the release, compared with objectives and the live version."""

import json
from typing import Any

import pytest

from registry import services
from registry.models import Application, Model, ModelVersion, Release
from tests.registry.conftest import BY, AddVersion, Api, passed

pytestmark = pytest.mark.django_db

SAMPLE = {"input": "[1]", "output": "2"}


def took(p99_ms: float) -> dict[str, Any]:
    time = {"size": 1, "batches": 9, "p50_ms": p99_ms / 2, "p99_ms": p99_ms}
    return {"samples": [SAMPLE], "latency": [time]}


def checked(version: ModelVersion, report: dict[str, Any], *, signature: Any = "") -> Release:
    release = services.deploy(version=version, by=BY)
    signature = json.dumps(signature) if signature else ""
    check = passed(version, report=report, signature=signature)
    services.note_check(release=release, check=check)
    services.begin_release(release=release)
    services.complete_release(release=release)
    release.refresh_from_db()
    return release


def test_a_version_that_is_too_slow_for_an_objective_is_told_so(
    manager: Api, digits: Application, svm: Model, add_version: AddVersion
) -> None:
    services.set_objective(application=digits, by=BY, latency_ms=50)
    release = checked(add_version("5"), took(80))
    assert release.state == Release.State.LIVE
    body = manager("get", f"models/svm/releases/{release.pk}").json()
    assert body["report"]["samples"] == [SAMPLE]
    assert body["report"]["warnings"] == [
        "One query took up to 80 ms in the check, longer than the objective of digits, 50 ms."
    ]
    assert checked(add_version("6"), took(40)).report["warnings"] == []


@pytest.mark.parametrize(
    "report", [{}, {"samples": [{"input": '"a text"', "error": "ValueError: no date"}]}]
)
def test_a_version_that_answered_nothing_goes_live_with_a_warning(
    add_version: AddVersion, report: dict[str, Any]
) -> None:
    release = checked(add_version("5"), report)
    assert (release.state, len(release.report["warnings"])) == (Release.State.LIVE, 1)
    kept = {"inputs": 2, "answered": 1, "same": 1, "with": "svm:5"}
    assert checked(add_version("6"), report | {"kept": kept}).report["warnings"] == []
