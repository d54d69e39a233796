"""A backup: the database, Redis, artifacts and secrets of a stack in a folder with a manifest."""

import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from clipper_site.backups.redis_moment import redis_moment
from clipper_site.backups.row_copy import add_database, copy_rows, counts_of
from clipper_site.backups.stopped_stack import stopped_stack
from clipper_site.backups.work_progress import Say, WorkProgress
from clipper_site.settings import database_of
from clipper_site.stack.layout import write_private
from core.errors import Conflict
from core.redis.locks import exclusively
from core.version import VERSION
from registry.artifacts.artifact_store import ArtifactStore
from registry.models import ModelVersion
from selection.store.redis_keys import PERSIST_LOCK
from serving.capture.models import CapturedSegment
from serving.capture.segments import LOCK as FILES_LOCK
from serving.capture.segments import LOCK_S as FILES_LOCK_S

MANIFEST, DATABASE, KEYS = "manifest.json", "clipper.sqlite3", "redis.rdb"
SECRETS = ("secret_key", "demo.json")
BEGIN = {"sqlite": "BEGIN", "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"}
# The lock is among the keys that are saved: a restored stack waits for so long at most.
LOCK_S, WAIT_S, COPY_S = 10.0, 30.0, 3600


def back_up(folder: Path, *, say: Say) -> None:
    """Copy the state of a stack, which may run, into an empty folder.

    Raises Conflict, also for a backup that lacks artifacts which the stack itself lacks.
    """
    if settings.CLIPPER_ARTIFACTS_URL and ArtifactStore.default().folder is not None:
        raise Conflict(
            "The artifacts are on the host of the console "
            f"({settings.CLIPPER_ARTIFACTS_URL}): call this there."
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Conflict(f"Expected an empty folder, but {folder} has something in it.")
    folder.chmod(0o700)
    with ExitStack() as held:
        files = held.enter_context(exclusively(FILES_LOCK, ttl_s=FILES_LOCK_S, wait_s=WAIT_S))
        if files is None:
            raise Conflict(f"Captured queries were written elsewhere for {WAIT_S:g} s; try again.")
        # Meanwhile no label is on its way to the database: what isn't in one copy is in the other.
        with exclusively(PERSIST_LOCK, ttl_s=LOCK_S, wait_s=WAIT_S) as lock:
            if lock is None:
                raise Conflict(f"Feedback was persisted elsewhere for {WAIT_S:g} s; try again.")

            def each_second() -> None:
                lock.reacquire()
                files.reacquire()

            write_keys = held.enter_context(redis_moment(each_second=each_second))
            held.enter_context(_database_moment())
            lock.reacquire()
        # No file that a row names leaves before it is copied; among the saved keys it ends soon.
        files.extend(COPY_S, replace_ttl=True)
        write_keys(folder / KEYS)
        # Redis itself starts from its append-only file.
        (settings.CLIPPER_VAR / "redis" / "dump.rdb").unlink(missing_ok=True)
        manifest: dict[str, Any] = {
            "version": VERSION,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "migrations": [".".join(m) for m in MigrationRecorder(connection).applied_migrations()],
            "rows": counts_of("default"),
        }
        _copy_database(folder / DATABASE, say=say)
        copied = [folder / name for name in (DATABASE, KEYS)] + _copy_files(folder, say=say)
        lacking = _artifacts_named() - {file.name for file in copied}
    manifest["files"] = {str(file.relative_to(folder)): _sum_of(file) for file in copied}
    write_private(folder / MANIFEST, text=json.dumps(manifest, indent=1))
    size = sum(each["size"] for each in manifest["files"].values()) / 1e6
    if lacking and ArtifactStore.default().folder is not None:
        raise Conflict(
            f"{folder} is complete but for {len(lacking)} artifacts that versions or captured "
            f"queries name, and that aren't in the stack's folder. The first: {min(lacking)}."
        )
    say(f"{folder}: {sum(manifest['rows'].values()):,} rows, {size:,.1f} MB. Keep it as a secret.")


def _artifacts_named() -> set[str]:
    """Return the digests that rows name, as the copied database has them."""
    rows = (ModelVersion.objects, CapturedSegment.objects)
    return {digest for each in rows for digest in each.values_list("digest", flat=True)} - {""}


@contextmanager
def _database_moment() -> Iterator[None]:
    """Have this process read the database as it is now while the block runs."""
    with connection.cursor() as cursor:
        cursor.execute(BEGIN[connection.vendor])
        cursor.execute("SELECT count(*) FROM django_migrations")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def _copy_database(file: Path, *, say: Say) -> None:
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(file)) as copy:
            connection.connection.backup(copy)
        return
    add_database("copy", database_of(f"sqlite:///{file.resolve()}"))
    copy_rows("default", target="copy", say=say)
    connections["copy"].close()


def _copy_files(folder: Path, *, say: Say) -> list[Path]:
    """Copy secrets and artifacts into a backup; return what was copied."""
    var: Path = settings.CLIPPER_VAR
    found = {var / name: folder / name for name in SECRETS if (var / name).exists()}
    key = var / SECRETS[0]
    if not key.exists() or key.read_text().strip() != settings.SECRET_KEY:
        say("The secret key isn't copied, as DJANGO_SECRET_KEY gave it: keep it yourself.")
    artifacts = ArtifactStore.default().folder
    if artifacts is None:
        say("The artifacts are kept elsewhere (CLIPPER_ARTIFACTS_BACKEND): they aren't copied.")
    else:
        to = folder / "artifacts"
        found |= {file: to / file.relative_to(artifacts) for file in artifacts.glob("??/*")}
    _copy_all(found, say=say)
    return [file for file in found.values() if file.exists()]


def _copy_all(files: Mapping[Path, Path], *, say: Say) -> None:
    sizes = {file: file.stat().st_size / 1e6 for file in files}
    progress = WorkProgress(task="copied", unit="MB", total=sum(sizes.values()), say=say)
    for file, to in files.items():
        to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # a version that was deleted meanwhile
            shutil.copyfile(file, to)
        progress.add(sizes[file])


def restore(folder: Path, *, own_redis: bool, say: Say) -> None:
    """Make a backup the state of a stack that has none yet. Raises Conflict.

    Redis is restored only if it is the stack's own, which reads its file at its start.
    """
    names = _checked_files(folder, say=say)
    var: Path = settings.CLIPPER_VAR
    with stopped_stack(needs_redis=False):  # one that REDIS_URL names is filled afterwards
        if there := sorted(path.name for path in var.iterdir() if path.name != "lock"):
            raise Conflict(f"Expected an empty folder, but {var} has {', '.join(there)}.")
        try:
            places = {name: var / name for name in names}
            places[KEYS] = var / "redis" / "appendonly.aof" if own_redis else var / KEYS
            _copy_all({folder / name: place for name, place in places.items()}, say=say)
            _fill_database(var / DATABASE, say=say)
        except BaseException:
            for path in var.iterdir():
                if path.name != "lock":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            raise


def _checked_files(folder: Path, *, say: Say) -> list[str]:
    """Return the names of a backup's files, which are whole. Raises Conflict."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (FileNotFoundError, ValueError) as error:
        raise Conflict(f"{folder} is no whole backup: it has no readable {MANIFEST}.") from error
    disk = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    unknown = {*manifest["migrations"]} - {".".join(name) for name in disk}
    theirs, ours = (re.findall(r"\d+", text) for text in (manifest["version"], VERSION))
    if unknown or [*map(int, theirs)] > [*map(int, ours)]:
        raise Conflict(
            f"The backup is of a newer release, {manifest['version']}; this is {VERSION}, which "
            f"doesn't know the migrations {sorted(unknown)}."
        )
    total = sum(each["size"] for each in manifest["files"].values()) / 1e6
    progress = WorkProgress(task="checked", unit="MB", total=total, say=say)
    for name, known in manifest["files"].items():
        if not (folder / name).is_file() or _sum_of(folder / name) != known:
            raise Conflict(f"{folder / name} is missing or isn't what was backed up.")
        progress.add(known["size"] / 1e6)
    return list(manifest["files"])


def _sum_of(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return {"size": file.stat().st_size, "sha256": digest}


def _fill_database(file: Path, *, say: Say) -> None:
    """Move the rows of a restored file to where the settings have the database."""
    name = Path(settings.DATABASES["default"]["NAME"])
    if connection.vendor == "sqlite":
        if name.absolute() != file:
            if name.exists():
                raise Conflict(f"Expected no database yet, but there is {name}.")
            shutil.move(file, name)
        return
    call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
    add_database("copy", database_of(f"sqlite:///{file}"))
    copy_rows("copy", target="default", say=say)
    connections["copy"].close()
    file.unlink()
