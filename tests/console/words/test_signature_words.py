"""Inputs and outputs of a version, and results of its check, on the console's pages."""

import json

import pytest
from django.test import Client
from django.urls import reverse

from console.words.signature_words import input_lines, output_line
from registry import services
from registry.models import ModelVersion
from tests.registry.conftest import BY, passed

pytestmark = pytest.mark.django_db

SIGNATURE = {
    "input_type": "columns",
    "inputs": [
        {"name": "age", "dtype": "float64", "nullable": False, "minimum": 18.0},
        {"name": "city", "dtype": "string", "nullable": True, "categories": ["<Rome>", "Oslo"]},
        {"name": "rest"},
    ],
    "output": {"kind": "array", "shape": [2], "classes": ["goes", "stays"]},
}


def page_of(version: ModelVersion, *, admin_client: Client) -> str:
    url = reverse("admin:registry_modelversion_change", args=[version.pk])
    return admin_client.get(url).content.decode()


def test_a_signature_is_told_in_lines() -> None:
    assert input_lines(SIGNATURE) == [
        "age: float64, trained on 18.0 to …, never missing",
        'city: string, one of "<Rome>", "Oslo", may be missing',
        "rest: any value",
    ]
    assert input_lines({"inputs": [{"shape": [None, 3], "dtype": "uint8"}]}) == [
        "uint8, shape any by 3"
    ]
    assert output_line(SIGNATURE) == 'array of 2, of "goes", "stays"'
    assert output_line({}) == ""


def test_a_versions_page_shows_what_it_takes(admin_client: Client, v1: ModelVersion) -> None:
    ModelVersion.objects.filter(pk=v1.pk).update(
        signature=json.dumps(SIGNATURE), example='{"age": 31}'
    )
    page = page_of(v1, admin_client=admin_client)
    assert "age: float64, trained on 18.0 to …, never missing" in page
    assert "one of &quot;&lt;Rome&gt;&quot;" in page
    assert "array of 2, of &quot;goes&quot;" in page


def test_a_releases_page_shows_what_its_check_found(admin_client: Client, v1: ModelVersion) -> None:
    release = services.deploy(version=v1, by=BY)
    time = {"size": 8, "batches": 9, "p50_ms": 1.5, "p99_ms": 2.5}
    kept = {"with": "svm:0", "inputs": 9, "answered": 8, "same": 5, "largest_difference": 0.25}
    report = {"samples": [{"input": "[<1>]", "output": "7"}], "latency": [time], "kept": kept}
    services.note_check(release=release, check=passed(v1, report=report))
    page = admin_client.get(
        reverse("admin:registry_release_change", args=[release.pk])
    ).content.decode()
    assert "[&lt;1&gt;] → 7" in page
    assert "A batch of 8 took 1.5 ms, up to 2.5 ms." in page
    assert (
        "5 of 9 kept inputs answered as by svm:0, which was live; 8 answered at all; "
        "numbers differ by 0.25 at most."
    ) in page


def test_a_versions_page_shows_its_check_before_anybody_deploys_it(
    admin_client: Client, v1: ModelVersion, v2: ModelVersion
) -> None:
    assert "asked for <time" in page_of(v1, admin_client=admin_client)
    passed(v1, report={"samples": [{"input": "[<1>]", "output": "7"}]})
    assert "[&lt;1&gt;] → 7" in page_of(v1, admin_client=admin_client)
    services.fail_check(check=services.request_check(v2), error="no <weights>")
    assert '<pre class="clp-error">no &lt;weights&gt;</pre>' in page_of(
        v2, admin_client=admin_client
    )


def test_a_check_that_failed_without_a_word_is_not_shown_as_one_that_passed(
    admin_client: Client, v2: ModelVersion
) -> None:
    services.fail_check(check=services.request_check(v2), error="")
    page = page_of(v2, admin_client=admin_client)
    assert 'data-state="failed">failed</span>' in page
    assert 'data-state="live">passed</span>' not in page
