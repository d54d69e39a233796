"""The present code opens the data that earlier releases left, and nothing of it is lost."""

import gzip
import json
import os
import secrets
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps

DUMPS = sorted(Path(__file__).parent.glob("*.sql.gz"))
READ = """
import json, django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("makemigrations", check=True, dry_run=True, verbosity=0)
from registry.models import *
from registry.following.reading import build_snapshot
snapshot = build_snapshot()
digits = snapshot.applications["digits"]
print(json.dumps({
    "policy": digits.policy,
    "slo_ms": digits.slo_ms,
    "default": digits.default_output.decode(),
    "arms": sorted(snapshot.versions_by_arm),
    "weights": [route.weight for route in digits.routes],
    "live": snapshot.versions[snapshot.models[digits.routes[0].model_id].live_version_id].arm,
    "keys": [[key.name, sorted(key.scopes)] for key in snapshot.keys.values()],
    "releases": list(Release.objects.order_by("pk").values_list("kind", "state", "reason")),
    "notes": sorted(ModelVersion.objects.values_list("notes", flat=True)),
    "audited": AuditEntry.objects.exists(),
}))
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: path.name)
def test_the_data_of_a_release_is_opened(dump: Path, tmp_path: Path) -> None:
    database = tmp_path / "clipper.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(gzip.decompress(dump.read_bytes()).decode())
    environment = {
        "DJANGO_SETTINGS_MODULE": "clipper_site.settings",
        "DJANGO_SECRET_KEY": secrets.token_urlsafe(45),
        "DATABASE_URL": f"sqlite:///{database}",
        "CLIPPER_VAR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", READ],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    assert found == {
        "policy": "exp3",
        "slo_ms": 50.0,
        "default": "-1",
        "arms": ["svm:1", "svm:2"],
        "weights": [1.0, 0.5],
        "live": "svm:1",
        "keys": [["bound", ["predict"]]],
        "releases": [
            ["deploy", "superseded", "better"],
            ["deploy", "superseded", "better"],
            ["rollback", "live", "worse"],
        ],
        "notes": ["version 1", "version 2"],
        "audited": True,
    }


def test_there_is_data_of_a_release() -> None:
    assert DUMPS


@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: path.name)
def test_processes_of_a_release_can_write_until_they_are_replaced(dump: Path) -> None:
    """A restart migrates first, and replaces the processes one after the other."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(gzip.decompress(dump.read_bytes()).decode())
        listed = connection.execute(
            "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
        )
        known = set(listed)
    tables = {table for table, _ in known}
    refused = [
        f"{model._meta.db_table}.{field.column}"
        for model in apps.get_models()
        for field in model._meta.local_concrete_fields
        if model._meta.db_table in tables and (model._meta.db_table, field.column) not in known
        if not field.null and not field.has_db_default()
    ]
    assert refused == []
