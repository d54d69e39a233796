"""On PostgreSQL everything that is kept works as it does on SQLite."""

import re
from pathlib import Path

import pytest

from tests.site import manage
from tests.site.postgresql_server import MigratedServer

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(420)]

# What writes to the database: each of these again, on the other one. First where databases differ,
# in their locks, races and triggers; then what keeps feedback and asks the same services by REST,
# commands and pages. `test_postgresql_races` has more of the first.
KEEPING = (
    "tests/registry/api/views/test_concurrent_changes.py",
    "tests/registry/security/test_append_only.py",
    "tests/registry/following/test_broken_rows.py",
    "tests/selection/feedback/persistence/test_drain.py",
)
ASKING = (
    "tests/registry/services/test_services_releases.py",
    "tests/selection/feedback/rebuild/test_rebuild.py",
    "tests/registry/services/test_services.py",
    "tests/registry/following/test_snapshot.py",
    "tests/registry/following/test_row_changes.py",
    "tests/registry/api/views/test_api_applications.py",
    "tests/registry/security/test_api_keys.py",
    "tests/registry/api/views/test_api_models.py",
    "tests/registry/api/views/test_api_releases.py",
    "tests/registry/test_commands.py",
    "tests/registry/services/test_configuration.py",
    "tests/registry/releases/test_check_reports.py",
    "tests/selection/evaluation/monitoring/test_monitoring_snapshots.py",
)
WITHOUT_A_DATABASE = (
    "tests/registry/test_commands.py::test_in_a_shell_failures_end_with_1_and_one_line",
)


@pytest.mark.parametrize(
    "suites",
    [
        pytest.param(KEEPING, id="what is kept"),
        pytest.param(ASKING, id="who asks for it", marks=pytest.mark.long),
    ],
)
def test_registry_and_feedback_behave_as_on_sqlite(
    postgresql: MigratedServer, tmp_path: Path, suites: tuple[str, ...]
) -> None:
    done = manage.run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--ds=tests.site.postgresql_settings"),
        *("-p", "tests.site.first_cases"),
        *suites,
        # It opens no database.
        *(f"--deselect={test}" for test in WITHOUT_A_DATABASE),
        var=tmp_path,
        timeout_s=380.0,
        TESTS_DATABASE_URL=postgresql.url,
        TESTS_TEMPLATE=postgresql.template,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout[-500:]


def test_versions_are_deployed_and_of_many_rollbacks_at_once_one_counts(
    postgresql: MigratedServer, tmp_path: Path
) -> None:
    url = postgresql.new_database("rollbacks")
    done = manage.run("-c", COMMANDS, var=tmp_path, DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("is pending") == 2
    assert "echo:1" in done.stdout
    assert "echo:2" in done.stdout

    done = manage.run("-c", ROLLED_BACK_AT_ONCE, var=tmp_path, DATABASE_URL=url)
    assert (done.returncode, done.stdout.split()) == (0, ["1", "live", "1", "warm"]), done.stderr


# One after the other as `manage.py` runs them, and Django set up once.
COMMANDS = """
import io
import django
django.setup()
from django.core.management import call_command
from registry import services
call_command("makemigrations", "--check", "--dry-run")
by = services.Actor.of_command("test")
echo = services.create_model(name="echo", input_type="json", by=by)
for version in ("1", "2"):
    artifact = io.BytesIO(f"VERSION = {version}".encode())
    services.create_version(
        model=echo, version=version, runtime="python", artifact=artifact, by=by
    )
    call_command("deploy", "echo", version)
    call_command("status")
"""

# Two versions go live one after the other, then ten threads roll back at once.
ROLLED_BACK_AT_ONCE = """
import django
django.setup()
from concurrent.futures import ThreadPoolExecutor
from django.db import connections
from registry import services
from core.errors import Conflict
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
