"""The database itself keeps the audit trail as it was written."""

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

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
