"""On PostgreSQL everything that is kept works as it does on SQLite."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site import manage
from tests.site.postgresql_server import postgresql_server

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(240)]

# What writes to the database: each of these again, on the other one.
SUITES = (
    "tests/registry/test_services.py",
    "tests/registry/test_services_releases.py",
    "tests/registry/test_snapshot.py",
    "tests/registry/test_notices.py",
    "tests/registry/test_api_applications.py",
    "tests/registry/test_api_models.py",
    "tests/registry/test_api_releases.py",
    "tests/registry/test_commands.py",
    "tests/registry/test_concurrent_changes.py",
    "tests/registry/test_migrations.py",
    "tests/registry/test_append_only.py",
    "tests/selection/test_feedback_persist.py",
    "tests/selection/test_monitoring_snapshots.py",
)


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    with postgresql_server() as url:
        yield url


def test_registry_and_feedback_behave_as_on_sqlite(database_url: str, tmp_path: Path) -> None:
    done = manage.run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--ds=tests.site.postgresql_settings"),
        *SUITES,
        var=tmp_path,
        timeout_s=200.0,
        TESTS_DATABASE_URL=database_url,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout[-500:]


def test_versions_are_deployed_and_of_many_rollbacks_at_once_one_counts(
    database_url: str, tmp_path: Path
) -> None:
    def command(*arguments: str) -> str:
        done = manage.run("manage.py", *arguments, var=tmp_path, DATABASE_URL=database_url)
        assert done.returncode == 0, done.stderr
        return done.stdout

    command("migrate", "--noinput")
    command("makemigrations", "--check", "--dry-run")
    for version in ("1", "2"):
        artifact = tmp_path / f"predictor-{version}.py"
        artifact.write_text(f"VERSION = {version}")
        upload = ("--artifact", str(artifact), "--runtime", "python", "--input-type", "json")
        assert "is pending" in command("deploy", "echo", version, *upload)
        assert "echo:" + version in command("status")

    done = manage.run("-c", ROLLED_BACK_AT_ONCE, var=tmp_path, DATABASE_URL=database_url)
    assert (done.returncode, done.stdout.split()) == (0, ["1", "live", "1", "warm"]), done.stderr


# Two versions go live one after the other, then ten threads roll back at once.
ROLLED_BACK_AT_ONCE = """
import django
django.setup()
from concurrent.futures import ThreadPoolExecutor
from django.db import connections
from registry import services
from registry.errors import Conflict
from registry.models import Model, Release

model = Model.objects.get(name="echo")
by = services.Actor.of_command("test")
for version in model.versions.order_by("version"):
    release = Release.objects.open().filter(version=version).first()
    release = release or services.deploy(version=version, by=by)
    services.begin_release(release=release)
    services.complete_release(release=release)
first = model.versions.get(version="1")

def roll_back(_):
    try:
        services.roll_back(model=model, to=first, by=by, reason="race")
        return 1
    except Conflict:
        return 0
    finally:
        connections.close_all()

with ThreadPoolExecutor(10) as pool:
    done = sum(pool.map(roll_back, range(10)))
model.refresh_from_db()
print(done, *(r.state for r in Release.objects.filter(reason="race")))
print(model.live_version.version, *("warm" for v in model.versions.all() if v.is_warm))
"""
