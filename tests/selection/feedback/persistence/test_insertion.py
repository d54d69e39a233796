"""Rows inserted as values: what the database makes of them, and what it refuses by itself."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from registry.models import Application
from selection.feedback.persistence.insertion import ROWS_A_STATEMENT, insert
from selection.models import Feedback

pytestmark = pytest.mark.django_db


@pytest.fixture
def digits() -> Application:
    return Application.objects.create(name="digits", input_type="doubles")


def row(digits: Application, number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "application_id": digits.pk,
        "context": "ann",
        "nonce": f"{number:024x}",
        "kind": "receipt",
        "issued_at": 1_700_000_000_250,
        "received_at": 1_700_000_001_000,
        "label": "7",
        "reward": None,
        "arms": [{"arm": "knn:1", "propensity": 1.0, "output": "\u00e9", "loss": 0.1 + 0.2}],
        "forced": False,
        "held_out": False,
        "defaulted": False,
        "routed": ("knn:1",),
        "features": (-2.5e-300,),
        "metrics": {},
        "overlap": 0.1 + 0.2,
        "answer": ((1.5, -0.25), (1.0, 0.1 + 0.2), (3, 17)),
        "key": "",
        "position": 2**63 - 1,
        "gone": [],
    } | changes


def test_what_is_inserted_is_what_django_would_have_saved(digits: Application) -> None:
    insert(Feedback, [row(digits)])
    found = Feedback.objects.get()
    found.pk, found.nonce = None, "saved"
    found.save(force_insert=True)
    inserted, saved = Feedback.objects.order_by("pk").values()
    assert {**inserted, "id": 0, "nonce": ""} == {**saved, "id": 0, "nonce": ""}
    assert Feedback.objects.filter(issued_at=found.issued_at, arms__0__arm="knn:1").count() == 2


def test_more_rows_than_a_statement_takes_are_inserted_each_once(digits: Application) -> None:
    count = 2 * ROWS_A_STATEMENT + 1
    insert(Feedback, [row(digits, number) for number in (*range(count), 0, 1)])
    insert(Feedback, [row(digits, number) for number in range(count)])
    assert Feedback.objects.count() == count


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "rumour"}, {"label": "", "reward": None}, {"label": "7", "reward": 0.5},
     {"label": "", "reward": 1.5}, {"label": "", "reward": -0.5}],
)  # fmt: skip
def test_the_database_refuses_a_row_that_makes_no_sense(
    digits: Application, wrong: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        insert(Feedback, [row(digits, **wrong)])
