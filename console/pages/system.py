"""System: the stack's processes, workers, Redis, database and disk, and what it is made of."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import django
import redis
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse

from console.access import may, page_with
from console.live.processes import process_rows, stack_problem
from console.words import formats
from core.redis.redis_client import redis_client
from core.version import VERSION
from registry.artifacts.disk_space import free_bytes
from registry.releases.control import Control, read_control
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.records import ReplicaRecord
from serving.cluster.membership.workers import read_workers
from serving.metrics.published import CONSOLES, read_published

Facts = list[tuple[str, str]]


def system(request: HttpRequest) -> HttpResponse:
    """Show what runs where, and how the stores stand."""
    if not may(request, "registry.view_stack"):
        raise PermissionDenied
    return page_with(
        request,
        "system",
        title="System",
        problem=stack_problem(),
        **_running(),
        facts=[("Database", _database()), ("Disk", _disk())],
        versions=[
            ("Clipper", VERSION),
            ("Python", platform.python_version()),
            ("Django", django.get_version()),
        ],
    )


def _running() -> dict[str, Any]:
    """Return what Redis knows; nothing without it."""
    client = redis_client()
    try:
        processes = process_rows(read_published(client), read_published(client, among=CONSOLES))
        return {
            "processes": [*processes, *_control_row(read_control())],
            "workers": _workers(client),
            "redis": _redis(client),
        }
    except redis.RedisError:
        return {}  # the problem says so


def _control_row(control: Control) -> list[dict[str, str]]:
    if control.last is None or control.age_s is None:
        return []
    seen = f"last round {control.age_s:.0f} s ago"
    last = control.last
    row = {"kind": "control", "process": str(last.pid), "host": last.host, "since": seen}
    return [{**row, "memory": "", "rate": ""}]


def _workers(client: redis.Redis) -> list[dict[str, str]]:
    """Return a row for each worker, and one for the replicas that wait for a slot."""
    replicas = own_directory().read()
    rows = [
        {
            "name": worker.id,
            "host": worker.host,
            "queue": worker.queue + (", retiring" if worker.retiring else ""),
            "slots": f"{_held(replicas, worker=worker.id)} of {worker.slots}",
            "replicas": _listed(replicas, worker=worker.id),
        }
        for worker in read_workers(client)
    ]
    if waiting := _listed(replicas, worker=""):
        row = {"name": "none yet", "host": "", "queue": "", "slots": "", "replicas": waiting}
        rows.append(row)
    return rows


def _held(replicas: Sequence[ReplicaRecord], *, worker: str) -> int:
    return sum(replica.worker == worker and replica.holds_slot for replica in replicas)


def _listed(replicas: Sequence[ReplicaRecord], *, worker: str) -> str:
    """Name a worker's replicas: svm:1 ready, 2 knn:1 loading."""
    own = Counter(
        f"{replica.model}:{replica.version} {replica.state}"
        for replica in replicas
        if replica.worker == worker
    )
    return formats.listed(
        *(f"{number} {text}" if number > 1 else text for text, number in sorted(own.items()))
    )


def _redis(client: redis.Redis) -> Facts:
    began = perf_counter()
    client.ping()
    took_ms = (perf_counter() - began) * 1e3
    info: Mapping[str, Any] = client.info()
    most = f" of {formats.size(info['maxmemory'])}" if info["maxmemory"] else ""
    up = datetime.fromtimestamp(
        datetime.now(tz=UTC).timestamp() - info["uptime_in_seconds"], tz=UTC
    )
    return [
        ("Memory", f"{formats.size(info['used_memory'])}{most}"),
        ("Answers in", formats.milliseconds(took_ms)),
        ("Version", f"{info['redis_version']}, started {formats.ago(up)}"),
    ]


def _database() -> Facts:
    began = perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        took_ms = (perf_counter() - began) * 1e3
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_database_size(current_database())")
        else:
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        size = cursor.fetchone()[0]
    return [
        ("Size", formats.size(size)),
        ("Answers in", formats.milliseconds(took_ms)),
        ("Kind", connection.display_name),
    ]


def _disk() -> Facts:
    folder = Path(settings.CLIPPER_VAR)
    return [
        ("Free", formats.size(free_bytes(folder))),
        ("Uploads stop below", formats.size(settings.CLIPPER_MIN_FREE_BYTES)),
        ("Folder", str(folder)),
    ]
