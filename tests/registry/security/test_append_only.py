"""The database itself keeps the audit trail as it was written."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.db.models import F

from registry import services
from registry.models import AuditEntry
from tests.conftest import TRIGGERS
from tests.registry.conftest import BY


@pytest.fixture
def closed(db: None) -> None:
    """The trail as the database keeps it outside of tests."""
    with connection.cursor() as cursor:
        for statement in TRIGGERS[connection.vendor]:
            cursor.execute(statement)


@pytest.mark.parametrize("how", ["update", "delete"])
def test_the_database_refuses_to_rewrite_it(closed: None, how: str) -> None:
    services.create_model(name="svm", input_type="doubles", by=BY)
    rows = AuditEntry.objects.filter(name="svm")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        rows.delete() if how == "delete" else rows.update(by="somebody else")
    assert rows.get().by == "a test"


@pytest.mark.parametrize("how", ["INSERT OR REPLACE", "REPLACE"])
def test_sqlite_refuses_to_replace_an_entry_by_another(closed: None, how: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has REPLACE")
    services.create_model(name="svm", input_type="doubles", by=BY)
    before = list(AuditEntry.objects.values())
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"{how} INTO registry_auditentry SELECT * FROM registry_auditentry")
    assert list(AuditEntry.objects.values()) == before != []


def test_what_it_tells_of_can_be_deleted(closed: None) -> None:
    user = User.objects.create_user("ada")
    by = services.Actor.of_user(user, address="192.0.2.1")
    model = services.create_model(name="svm", input_type="doubles", by=by)
    services.delete_model(model=model, by=by)
    number = user.pk
    user.delete()
    entries = AuditEntry.objects.filter(name="svm", user_id=number, address="192.0.2.1")
    assert [entry.action for entry in entries] == ["delete", "create"]


def event(reason: str = "") -> None:
    services.record_event(action="crash", kind="version", name="svm:1", reason=reason)


def test_the_same_event_within_a_minute_adds_to_a_count(closed: None) -> None:
    for _ in range(3):
        event(reason="exit code 1")
    services.record_event(action="crash", kind="version", name="svm:2")
    services.record_event(
        action="scale", kind="version", name="svm:1", changes={"replicas": [1, 2]}
    )
    services.record_event(
        action="scale", kind="version", name="svm:1", changes={"replicas": [2, 1]}
    )
    found = AuditEntry.objects.filter(channel="system").values_list("name", "action", "repeats")
    assert sorted(found, key=str) == [
        ("svm:1", "crash", 2),
        ("svm:1", "scale", None),
        ("svm:1", "scale", None),
        ("svm:2", "crash", None),
    ]


def test_nothing_but_the_count_of_an_event_grows(closed: None) -> None:
    services.create_model(name="svm", input_type="doubles", by=services.Actor.of_command("x"))
    event()
    event()
    change, crash = (AuditEntry.objects.filter(action=action) for action in ("create", "crash"))
    names = [field.name for field in AuditEntry._meta.fields]
    refused: list[tuple[Any, dict[str, Any]]] = [(crash, {name: F(name)}) for name in names]
    for rows, values in [*refused, (change, {"repeats": 1}), (crash, {"repeats": 3})]:
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            rows.update(**values)
