"""The Celery task that is a replica, and the report of one whose process was lost."""

import os
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis
from billiard.process import current_process
from celery import shared_task
from celery.exceptions import WorkerLostError
from celery.signals import task_failure
from django.conf import settings
from django.db import connections

from core.redis.redis_client import redis_client
from core.specs import VersionSpec
from registry.artifacts.fetching import ArtifactFiles
from registry.following.reading import version_spec
from registry.models import ModelVersion
from registry.releases.restarts import Ending, note_ending
from serving.cluster.failures.endings import log_end, note_death
from serving.cluster.failures.error_log import ErrorLog
from serving.cluster.failures.output_log import log_of
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.records import ReplicaState
from serving.cluster.replica.reports import Reports
from serving.cluster.replica.worker_signals import fork_server, lifeline, slot
from serving.container.child.child_process import WHILE_LOADING
from serving.container.child.link import EX_SOFTWARE


@shared_task(name="serving.cluster.tasks.serve_replica")
def serve_replica(replica_id: str, _version_id: int) -> None:
    """Be one replica until it is asked to drain; returns at once where it isn't wanted any more.

    Its version is for `note_lost_replica`.
    """
    # All workers know this task; those for replicas have loaded the rest before they fork.
    from serving.cluster.replica import replica_process

    directory = own_directory()
    queued = directory.find(replica_id)
    if queued is None or queued.state is not ReplicaState.QUEUED:
        return
    # As its record says, which is sealed; a task's arguments are anybody's.
    version, sealed = _read_version(queued.version_id, generation=queued.generation)
    if version is None:
        directory.remove([replica_id])
        return
    device = replica_process.device_name(
        version.device,
        slot=getattr(current_process(), "index", 0),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )
    record = replica_process.claim(queued, directory=directory, device=device)
    if record is None:
        return
    log = log_of(
        settings.CLIPPER_REPLICA_LOGS,
        model=version.model,
        version=version.version,
        replica_id=replica_id,
    )
    replica_process.ReplicaProcess(
        replica_process.Assignment(
            record=record,
            version=version,
            sealed=sealed,
            artifacts=ArtifactFiles.default(),
            run_dir=settings.CLIPPER_RUN_DIR,
            hung_s=settings.CLIPPER_HUNG_S,
            fork_server=fork_server(),
        ),
        directory=directory,
        lifeline=lifeline(),
        slot=slot(),
        reports=Reports(record, errors=ErrorLog(redis_client()), log=log),
    ).run()


@task_failure.connect
def note_lost_replica(
    sender: Any, task_id: str, exception: Exception, args: Sequence[Any] = (), **_: Any
) -> None:
    """In a worker's main process: say how the process of a replica ended, and count it."""
    if not isinstance(exception, WorkerLostError) or sender.name != serve_replica.name:
        return
    if lifeline().is_cut():
        return  # the worker is being stopped, and not every replica waits for it
    how = _how_it_ended(exception)
    with suppress(redis.RedisError):  # its record expires by itself
        record = own_directory().find(task_id)
        if record is None:  # it has expired on a busy machine
            here = Ending(host=socket.gethostname(), pid=0, reason=how)
            note_ending(redis_client(), here, replica_id=task_id, version_id=int(args[1]))
            return
        if not record.holds_slot:
            return  # it was ended, and that is said
        loading = record.state is ReplicaState.LOADING
        reason = f"{how}, {WHILE_LOADING}" if loading else how
        note_death(record, reason=reason)
        if f"exitcode {EX_SOFTWARE}" not in how:  # it has reported its model's end
            log_end(record, reason=reason)


def _read_version(version_id: int, *, generation: int) -> tuple[VersionSpec | None, str]:
    """Read the version in this generation, and its sealed secret."""
    rows = ModelVersion.objects.select_related("model")
    row = rows.filter(pk=version_id, generation=generation).first()
    spec = None if row is None else version_spec(row)
    connections.close_all()
    return spec, row.secret if row else ""


def _how_it_ended(error: WorkerLostError) -> str:
    """Take the signal or the exit code out of "Worker exited prematurely: signal 9 (...) Job: 1."""
    found = re.search(r"(signal \d+ \(\w+\)|signal \d+|exitcode \d+)", str(error))
    return f"its process ended with {found[1]}" if found else "its process ended"
