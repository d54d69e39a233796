"""Settings: what is wrong is named with a hint, and what is left out is safe."""

import json
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from clipper_site.settings.env import Environment, parse_change
from selection.feedback.intake.receipt_signing import former_secret
from selection.receipts import ArmRecord, Receipt, ReceiptSigner, derive_key
from serving.container.sandbox.confined import has_landlock
from tests.site import manage

# One of each kind, and of each bound.
WRONG = {
    "CLIPPER_PORT": "eighty",
    "CLIPPER_WEB_WORKERS": "0",
    "CLIPPER_COMPILED": "perhaps",
    "CLIPPER_BODY_TIMEOUT_S": "-1",
    "CLIPPER_UNFINISHED_BYTES": "1000000",  # less than the largest body
    "CLIPPER_MAX_ARTIFACT_BYTES": "1.5",
    "CLIPPER_MIN_FREE_BYTES": "1G",
    "CLIPPER_CHECKS_AT_ONCE": "5",
    "CLIPPER_LOG_LEVEL": "loud",
    "DATABASE_URL": "oracle-of-delphi://host/name",
    "REDIS_URL": "localhost:6379",
}


def test_every_wrong_setting_is_named_at_once_with_its_value_and_a_hint(tmp_path: Path) -> None:
    done = manage.check(var=tmp_path, **WRONG)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for name, value in WRONG.items():
        assert f"(clipper.E001) {name} is {value!r}; expected" in done.stderr
        assert f"HINT: Set {name} to" in done.stderr
    assert done.stderr.count("clipper.E") == len(WRONG)


def test_a_missing_secret_key_is_an_error_of_its_own(tmp_path: Path) -> None:
    assert "(clipper.E002)" in manage.checked(var=tmp_path, DJANGO_SECRET_KEY="")


@pytest.mark.parametrize(
    "changed_at", ["", "2026-01-31T12:00:00", "yesterday", "9026-01-31T12:00:00Z"]
)
def test_a_previous_secret_key_needs_the_time_when_it_was_replaced(
    tmp_path: Path, changed_at: str
) -> None:
    said = manage.checked(
        var=tmp_path,
        DJANGO_SECRET_KEY_PREVIOUS="of yesterday",
        DJANGO_SECRET_KEY_CHANGED_AT=changed_at,
    )
    assert f"(clipper.E001) DJANGO_SECRET_KEY_CHANGED_AT is {changed_at!r}; expected a time" in said
    assert said.count("clipper.E") == 1
    assert "of yesterday" not in said


def test_receipts_of_before_a_change_are_read_by_the_key_of_then(settings: Settings) -> None:
    receipt = Receipt(b"n" * 12, 1_769_860_800_000, 1, "", (ArmRecord("a:1", 1, b"7"),))
    before = ReceiptSigner(derive_key(settings.SECRET_KEY)).sign(receipt)
    settings.SECRET_KEY_PREVIOUS, settings.SECRET_KEY = settings.SECRET_KEY, "another" * 10
    assert former_secret() is None
    settings.SECRET_KEY_CHANGED_AT = parse_change("2026-01-31T12:00:00Z")
    after = ReceiptSigner(derive_key(settings.SECRET_KEY), former=former_secret())
    assert after.verify(before) == receipt


SHOW_DATABASE = "from django.conf import settings; print(settings.DATABASES['default'][\"NAME\"])"
DEFAULTS = """
import json
import django
django.setup()
from django.conf import settings
from django.db import connection

def pragma(name):
    with connection.cursor() as cursor:
        return cursor.execute(f"PRAGMA {name}").fetchone()[0]

print(json.dumps({
    "debug": settings.DEBUG,
    "host": settings.CLIPPER_HOST,
    "hosts": settings.ALLOWED_HOSTS,
    "redis": settings.REDIS_URL,
    "engine": connection.vendor,
    "journal": pragma("journal_mode"),
    "busy_ms": pragma("busy_timeout"),
    "synchronous": pragma("synchronous"),
    "foreign_keys": pragma("foreign_keys"),
    "transactions": connection.transaction_mode,
}))
"""


def test_without_settings_it_is_closed_and_its_database_takes_several_writers(
    tmp_path: Path,
) -> None:
    done = manage.run("-c", DEFAULTS, var=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "debug": False,
        "host": "127.0.0.1",
        "hosts": ["localhost", "127.0.0.1", "[::1]"],
        "redis": f"unix://{tmp_path}/run/redis.sock?db=0",
        "engine": "sqlite",
        "journal": "wal",
        "busy_ms": 20_000,
        "synchronous": 2,
        "foreign_keys": 1,
        "transactions": "IMMEDIATE",
    }


def test_right_settings_pass_the_deployment_checks(tmp_path: Path) -> None:
    done = manage.run(
        *("manage.py", "check", "--deploy", "--fail-level", "WARNING"),
        var=tmp_path,
        CLIPPER_HTTPS="yes",
        CLIPPER_LOG_LEVEL="warning",
        REDIS_URL="rediss://user:secret@redis.example.com/3",
    )
    assert done.returncode == 0
    assert done.stderr == "" if has_landlock() else "clipper.I004" in done.stderr


# --- reading one variable --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read"),
    [("1", True), ("TRUE", True), ("on", True), ("0", False), ("No", False), ("off", False)],
)
def test_a_flag_is_read_in_any_case(text: str, read: bool) -> None:
    assert Environment({"X": text}).flag("X", default=not read) is read


@pytest.mark.parametrize("source", [{}, {"X": ""}])
def test_a_variable_that_is_not_set_or_empty_has_its_default(source: dict[str, str]) -> None:
    environment = Environment(source)
    assert environment.flag("X", default=True) is True
    assert environment.whole("X", default=7) == 7
    assert environment.one_of("X", default="B", choices=("A", "B")) == "B"
    assert environment.wrong == []


def test_the_default_database_lies_in_var_whatever_its_name(tmp_path: Path) -> None:
    var = tmp_path / "a #1?x=100% v"
    var.mkdir()
    done = manage.run("manage.py", "shell", "-c", SHOW_DATABASE, var=var)
    assert done.stdout.splitlines()[-1] == str(var / "clipper.sqlite3"), done.stderr


MIGRATES = """
import sys
from django.core.management import ManagementUtility
ManagementUtility(["manage.py", "migrate", "--verbosity=0"]).execute()
print("clipper_site.urls" in sys.modules)
"""


def test_a_migration_names_wrong_settings_and_loads_no_pages(tmp_path: Path) -> None:
    done = manage.run("-c", MIGRATES, var=tmp_path)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
    refused = manage.run("-c", MIGRATES, var=tmp_path, CLIPPER_PORT="eighty")
    assert refused.returncode == 1
    assert "(clipper.E001) CLIPPER_PORT is 'eighty'; expected" in refused.stderr


def test_no_index_and_no_wheels_is_an_error(tmp_path: Path) -> None:
    said = manage.checked(var=tmp_path, CLIPPER_PIP_NO_INDEX="1")
    assert "(clipper.E007)" in said
    wheels = {"CLIPPER_PIP_WHEELHOUSE": str(tmp_path)}
    assert manage.checked(var=tmp_path, CLIPPER_PIP_NO_INDEX="1", **wheels) == ""
