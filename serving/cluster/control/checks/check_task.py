"""The Celery task that checks a version: it is tried out, and the result is kept."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import redis
from celery import shared_task
from django.conf import settings
from django.db import connections

from core.errors import NotFound
from core.redis.redis_client import redis_client
from core.specs import VersionSpec
from registry import services
from registry.artifacts.fetching import ArtifactFiles
from registry.following.reading import version_spec
from registry.models import ModelVersion, VersionCheck
from registry.releases.progress import RUNNING, checking_key
from registry.security.sealing import Unsealable
from serving.cluster.control.checks.check_queue import RUNNING_TTL_S, take_up
from serving.cluster.control.checks.kept_inputs import find_kept_inputs
from serving.cluster.control.checks.tries import AWAY, MOST_TRIES, Tries
from serving.cluster.control.checks.version_trial import (
    Aborted,
    Trial,
    failed_trial,
    try_out,
)
from serving.cluster.failures.endings import REASON_CHARACTERS
from serving.cluster.failures.error_log import ErrorLog, Phase
from serving.cluster.failures.failure_counts import count_check
from serving.cluster.host_environments import needs_build, own_environments, prepare
from serving.cluster.remote_versions import secret_fields
from serving.cluster.replica.worker_signals import lifeline
from serving.container.adapters.skops_permission import check_allowed
from serving.container.check_report import Row
from serving.container.child.model_process import ForkServer
from serving.container.failures.container_errors import (
    EnvironmentFailed,
    PickleRefused,
    UntrustedTypes,
    explain,
)
from serving.environments.spec import environment_of
from serving.rpc.text import safe_text

# A server that has forked no check for this long ends: it holds some 100 MiB.
FORK_SERVER = ForkServer(
    nice=settings.CLIPPER_CHECK_NICE,
    idle_s=20.0,
    imports_sklearn=settings.CLIPPER_PRELOAD_SKLEARN,
)
atexit.register(FORK_SERVER.end)

logger = logging.getLogger(__name__)


@shared_task(name="serving.cluster.tasks.check_version")
def check_version(check_id: int) -> None:
    """Try a version out, and keep the result, by which the releases that wait for it go on."""
    checks = VersionCheck.objects.select_related("version__model")
    check = checks.filter(pk=check_id, state=VersionCheck.State.PENDING).first()
    if check is None or not take_up(redis_client(), check_id):
        return
    tries = Tries(redis_client(), of="version-check")
    # Counted before: a check may also take this process with it.
    count = tries.count(check_id)
    if count > MOST_TRIES:
        _fail(check, reason=f"its check was begun {MOST_TRIES} times and never ended")
        return
    try:
        _check(check)
    except Aborted:
        tries.forget(check_id)  # it stays pending, for the next control worker
    except AWAY:
        tries.forget(check_id)
        raise
    except Exception as error:
        logger.exception("check went wrong check=%d try=%d", check_id, count)
        if count < MOST_TRIES:
            return  # tried again once the key has expired: a full disk may have room by then
        _fail(check, reason=f"it could not be checked, tried {count} times: {explain(error)}")
    redis_client().delete(checking_key(check_id))


def _check(check: VersionCheck) -> None:
    kept = find_kept_inputs(check.version, client=redis_client())
    with Hold(check.pk) as hold:
        trial = _try_out(check.version, hold=hold, kept=kept.rows)
    if trial.failure is not None:
        ErrorLog(redis_client()).add(check.version_id, [trial.failure], phase=Phase.CHECK)
    if trial.fault is not None:
        _fail(check, reason=trial.fault, output=trial.output)
        return
    services.pass_check(
        check=check,
        n_features=trial.n_features,
        signature=trial.signature,
        output=trial.output,
        report=kept.describe(trial.report),
    )
    count_check(redis_client(), passed=True)
    logger.info("check passed version=%s", check.version)


def _fail(check: VersionCheck, *, reason: str, output: str = "") -> None:
    """Fail a check; its reason may be a model's own words."""
    reason = safe_text(reason, most=REASON_CHARACTERS)
    services.fail_check(check=check, error=reason, output=output)
    count_check(redis_client(), passed=False)
    logger.warning("check failed version=%s: %s", check.version, reason)


def _try_out(row: ModelVersion, *, hold: Hold, kept: Sequence[Row]) -> Trial:
    version = version_spec(row)
    connections.close_all()
    try:
        here = {"kept": kept, **secret_fields(version, sealed=row.secret)}
        with ArtifactFiles.default().opened(
            version.digest, tell=lambda fetching: hold.tell(fetching.text)
        ) as artifact:
            return _try_in_environment(version, artifact=artifact, hold=hold, here=here)
    except (NotFound, Unsealable) as error:
        return failed_trial(str(error))


def _try_in_environment(
    version: VersionSpec, *, artifact: Path, hold: Hold, here: Mapping[str, Any]
) -> Trial:
    spec = environment_of(version)
    try:
        if version.runtime == "sklearn" and not version.allow_pickle and needs_build(version):
            check_allowed(artifact)  # first: it would be built in vain
        environment = prepare(version, afresh=True, meanwhile=hold.tell)
    except (PickleRefused, UntrustedTypes) as refusal:
        return failed_trial(str(refusal))
    except EnvironmentFailed as error:
        log = own_environments().log_of(spec.digest) if spec is not None else ""
        return failed_trial(str(error), output=log)
    try:
        hold.tell(RUNNING)
        trial = try_out(
            version,
            artifact=artifact,
            environment=environment.of_model if environment else None,
            server=FORK_SERVER,
            meanwhile=hold.look,
            **here,
        )
    finally:
        if environment is not None:
            environment.release()
    if environment is not None and environment.built:
        log = own_environments().log_of(environment.folder.name)
        return replace(trial, output=log + trial.output)
    return trial


class Hold:
    """Keeps one check this process's while the block lasts.

    By a thread, as a network may keep this one waiting for longer than the key lives.
    """

    def __init__(self, check_id: int) -> None:
        self._key = checking_key(check_id)
        self._text = RUNNING
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hold", daemon=True)

    def look(self) -> None:
        """Raise Aborted if this process is to end."""
        if lifeline().is_cut():
            raise Aborted

    def tell(self, text: str) -> None:
        """Publish that the check runs, or what it waits for."""
        self.look()
        self._text = text

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with suppress(redis.RedisError):  # at worst another worker checks it as well
                redis_client().set(self._key, self._text, ex=RUNNING_TTL_S)
            if self._over.wait(RUNNING_TTL_S / 10):
                return
