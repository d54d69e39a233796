"""Search by ⌘K: what it finds, and that it shows nothing that one may not open."""

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from registry.models import Application, ModelVersion
from selection.feedback.intake.receipt_signing import receipt_signer
from selection.receipts import ArmRecord, Receipt
from tests.registry.conftest import go_live


def found(client: Client, text: str) -> dict[str, str]:
    page = client.get("/admin/search/", {"extended": "1", "s": text}).content.decode()
    return {
        title: link for link, title in re.findall(r'href="([^"]*)"\s+data-title="([^"]*)"', page)
    }


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("digits", "digits"),
        ("DIG", "digits"),
        ("svm", "svm"),
        ("svm:2", "svm:2"),
        ("roll back svm", "Roll back svm"),
        ("roll", "Roll back svm"),
        ("deploy svm:2", "Deploy svm:2"),
        ("experiment of digits", "Experiment of digits"),
        ("settings digits", "Settings of digits"),
        ("try digits", "Try digits"),
        ("owner", "owner"),
        ("changes by owner", "Changes by owner"),
        ("release 1", "Deploy of svm:1"),
    ],
)
def test_the_first_hit_is_what_was_typed(
    owner: Client, digits: Application, v1: ModelVersion, v2: ModelVersion, text: str, title: str
) -> None:
    go_live(v1)
    hits = found(owner, text)
    assert next(iter(hits)) == title
    assert owner.get(hits[title].replace("&amp;", "&")).status_code in (200, 302)


def test_nothing_is_shown_that_one_may_not_open(
    client: Client, digits: Application, v1: ModelVersion, v2: ModelVersion
) -> None:
    reader = User.objects.create_user("ida", is_staff=True)
    client.force_login(reader)
    assert found(client, "digits") == found(client, "svm") == found(client, "ida") == {}
    reader.user_permissions.add(
        *Permission.objects.filter(
            codename__in=["view_application", "view_model", "view_modelversion"]
        )
    )
    assert "digits" in found(client, "digits")
    assert {*found(client, "svm")} == {"svm", "svm:1", "svm:2"}
    assert Client().get("/admin/search/", {"s": "digits"}).status_code == 302


def receipt(application_id: int) -> str:
    arms = (ArmRecord("svm:1", 0.75, b"7"), ArmRecord("knn:1", 0.25))
    return receipt_signer().sign(
        Receipt(b"n" * 12, 1_700_000_000_000, application_id, "user-4", arms, defaulted=True)
    )


def test_a_query_id_leads_to_what_its_receipt_says(
    owner: Client, client: Client, digits: Application
) -> None:
    token = receipt(digits.pk)
    ((title, link),) = found(owner, f" {token} ").items()
    assert title == "Query of digits"
    page = owner.get(link.replace("&amp;", "&")).content.decode()
    assert all(text in page for text in ("svm:1", "0.75", "user-4", "the default output"))
    assert found(owner, token[:-2] + "AA") == {}
    assert found(owner, receipt(digits.pk + 1)) == {}
    address = f"/admin/applications/digits/query/?id={receipt(digits.pk + 1)}"
    assert owner.get(address).status_code == 404
