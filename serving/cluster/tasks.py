"""The cluster's Celery tasks: be a replica, reconcile, validate a release."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import redis
from billiard.process import current_process
from celery import shared_task
from celery.exceptions import WorkerLostError
from celery.signals import task_failure
from django.conf import settings
from django.db import connections

from infrastructure.locks import exclusively
from infrastructure.redis_client import redis_client
from registry import services
from registry.artifacts.store import ArtifactStore
from registry.control import note_round
from registry.errors import NotFound
from registry.models import ModelVersion, Release
from registry.restarts import Ending, note_ending
from registry.snapshot import version_spec
from registry.specs import VersionSpec
from serving.cluster.control import releases
from serving.cluster.control.reconcile import Reconciler, loading_died
from serving.cluster.control.trial import Aborted, Trial, try_out
from serving.cluster.control.tries import MOST_TRIES, Tries
from serving.cluster.failures import output_log
from serving.cluster.failures.counts import FailureCounts
from serving.cluster.failures.error_log import ErrorLog, Phase
from serving.cluster.membership.directory import ReplicaState
from serving.cluster.replica import failure, process, worker
from serving.cluster.replica.listen import own_directory
from serving.cluster.replica.reports import Reports
from serving.container.boxed import WHILE_LOADING
from serving.container.errors import explain

ROUND_LOCK = "clipper:lock:reconcile"
# Longer than a round ever takes; a control process that dies within one blocks the next this long.
ROUND_TTL_S = 5.0
NOT_CHECKED = "it could not be checked, tried {} times"

logger = logging.getLogger(__name__)


@shared_task
def serve_replica(replica_id: str, version_id: int, generation: int) -> None:
    """Be one replica until it is asked to drain; returns at once where it isn't wanted any more."""
    directory = own_directory()
    queued = directory.find(replica_id)
    if queued is None or queued.state is not ReplicaState.QUEUED:
        return
    # As its record says, which is sealed; a task's arguments are anybody's.
    version = _read_version(queued.version_id, generation=queued.generation)
    if version is None:
        directory.remove([replica_id])
        return
    device = process.device_name(
        version.device,
        slot=getattr(current_process(), "index", 0),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )
    record = process.claim(queued, directory=directory, device=device)
    if record is None:
        return
    process.run(
        process.Assignment(
            record=record,
            version=version,
            store=ArtifactStore.default(),
            run_dir=settings.CLIPPER_RUN_DIR,
            hung_s=settings.CLIPPER_HUNG_S,
        ),
        directory=directory,
        on_failure=lambda reason: failure.note_failure(record, reason=reason),
        lifeline=worker.lifeline(),
        slot=worker.slot(),
        reports=Reports(
            record,
            errors=ErrorLog(redis_client()),
            log=output_log.log_of(
                settings.CLIPPER_REPLICA_LOGS,
                model=version.model,
                version=version.version,
                replica_id=replica_id,
            ),
        ),
    )


@task_failure.connect
def note_lost_replica(
    sender: Any, task_id: str, exception: Exception, args: Sequence[Any] = (), **_: Any
) -> None:
    """In a worker's main process: say how the process of a replica ended, and count it.

    That of one that still loaded is the model's doing: code that isn't Python crashed, or something
    called exit. One that served is replaced at once, and its version not held back.
    """
    if not isinstance(exception, WorkerLostError) or sender.name != serve_replica.name:
        return
    if worker.lifeline().is_cut():
        return  # the worker is being stopped, and not every replica waits for it
    how, directory = _how_it_ended(exception), own_directory()
    with suppress(redis.RedisError):  # the reconciler sees the dead process too
        record = directory.find(task_id)
        if record is not None and loading_died(record):
            failure.count_failure(redis_client(), record, reason=f"{how}, {WHILE_LOADING}")
            failure.declare_failed(record, reason=f"{how}, {WHILE_LOADING}")
        elif len(args) > 1:
            # The reconciler may have removed its record already.
            here = Ending(host=socket.gethostname(), pid=record.pid if record else 0, reason=how)
            note_ending(redis_client(), here, replica_id=task_id, version_id=int(args[1]))


@shared_task
def reconcile() -> None:
    """Do one round, unless another is under way, and leave word of it."""
    with exclusively(ROUND_LOCK, ttl_s=ROUND_TTL_S) as lock:
        if lock is None:
            return
        try:
            _reconciler().run(now=time.monotonic())
        except Exception as error:
            with suppress(redis.RedisError):
                note_round(redis_client(), error=f"{type(error).__name__}: {error}")
            raise
        note_round(redis_client())


@shared_task
def validate_release(release_id: int) -> None:
    """Try the release's version out, then let its replicas start or give it up."""
    release = Release.objects.with_versions().filter(pk=release_id).first()
    if release is None or release.state != Release.State.PENDING:
        return
    tries = Tries(redis_client(), of="check")
    # Counted before: a check may also take this process with it.
    count = tries.count(release_id)
    if count > MOST_TRIES:
        releases.fail(release, reason=f"its check was begun {MOST_TRIES} times and never ended")
        return
    try:
        _validate(release)
    except Aborted:
        tries.forget(release_id)  # it stays pending, for the next control worker to validate
    except releases.AWAY:
        tries.forget(release_id)
        raise
    except Exception as error:
        logger.exception("check went wrong release=%d try=%d", release_id, count)
        if count < MOST_TRIES:
            return  # tried again once the key has expired: a full disk may have room by then
        releases.fail(release, reason=f"{NOT_CHECKED.format(count)}: {explain(error)}")
    redis_client().delete(releases.validating_key(release_id))


def _validate(release: Release) -> None:
    trial = _try_out(version_spec(release.target), release_id=release.pk)
    services.note_check_output(release=release, output=trial.output)
    if trial.failure is not None:
        ErrorLog(redis_client()).add(release.target.pk, [trial.failure], phase=Phase.CHECK)
    if trial.fault is not None:
        releases.fail(release, reason=trial.fault)
        return
    failures = FailureCounts(redis_client())
    if releases.begin(release, failures=failures, n_features=trial.n_features):
        reconcile.delay()


def start_replica(replica_id: str, *, queue: str, version_id: int, generation: int) -> None:
    serve_replica.apply_async(
        args=(replica_id, version_id, generation), queue=queue, task_id=replica_id
    )


@cache
def _reconciler() -> Reconciler:
    return Reconciler(
        redis_client(),
        directory=own_directory(),
        start_replica=start_replica,
        validate=validate_release.delay,
    )


def _read_version(version_id: int, *, generation: int) -> VersionSpec | None:
    """Read the version in this generation, the only thing a replica needs from the database."""
    rows = ModelVersion.objects.select_related("model")
    row = rows.filter(pk=version_id, generation=generation).first()
    spec = None if row is None else version_spec(row)
    connections.close_all()
    return spec


def _how_it_ended(error: WorkerLostError) -> str:
    """Take the signal or the exit code out of "Worker exited prematurely: signal 9 (...) Job: 1."""
    found = re.search(r"(signal \d+ \(\w+\)|signal \d+|exitcode \d+)", str(error))
    return f"its process ended with {found[1]}" if found else "its process ended"


def _try_out(version: VersionSpec, *, release_id: int) -> Trial:
    client, key = redis_client(), releases.validating_key(release_id)

    def hold() -> None:
        if worker.lifeline().is_cut():
            raise Aborted
        with suppress(redis.RedisError):  # the worst that follows is a second validation
            client.set(key, "running", ex=releases.VALIDATION_RUNNING_TTL_S)

    hold()
    connections.close_all()
    try:
        artifact = ArtifactStore.default().path_of(version.digest)
    except NotFound as error:
        return Trial(fault=error.message)
    return try_out(version, artifact=artifact, meanwhile=hold)
