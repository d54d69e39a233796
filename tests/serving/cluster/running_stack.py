"""A real stack: Redis, a worker for replicas, a control worker, a registry."""

import io
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import redis
from onnx import TensorProto, helper

from registry import services
from registry.models import Model, ModelVersion, Release
from registry.releases.control import read_control
from serving.cluster.membership.directory import Directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from tests.redis_server import RedisServer
from tests.serving.cluster.samples import SEAL
from tests.serving.cluster.wait_until import wait_for
from tests.serving.cluster.web_part import WebPart, WebProcess

ROOT = Path(__file__).resolve().parents[3]
SLOTS = 3
BY = services.Actor.of_command("test")
WORKER = ["-m", "clipper_site.worker"]
CPU = ["-Q", "replicas.cpu", "-P", "prefork", "-c", str(SLOTS), "-n", "cpu@%h"]
GPU = ["-Q", "replicas.gpu", "-P", "prefork", "-c", "2", "-n", "gpu@%h"]
CONTROL = ["-Q", "control", "-P", "threads", "-c", "4", "-n", "control@%h"]


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """The beginnings of commands that run where web processes are, and where replicas are.

    Without the first the stack has no part of a web process: a test starts a whole one.
    """

    web: Sequence[str]
    replicas: Sequence[str]


class Stack:
    """Owns the processes; state lies in `var`, sockets in `run` with its short path.

    `settings` come on top of the environment that every one of its processes gets; `hosts` says
    which commands start its web process and its workers, where these are to be on hosts apart.
    """

    def __init__(
        self,
        *,
        var: Path,
        run: Path,
        settings: Mapping[str, str] = MappingProxyType({}),
        hosts: Hosts | None = None,
    ) -> None:
        self.var, self.run, self._settings = var, run, settings
        self.redis_server = RedisServer(directory=run, durable=True)
        self.client = redis.Redis.from_url(self.redis_server.url)
        self.directory = Directory(self.client, seal=SEAL)
        self.workers: dict[str, psutil.Popen] = {}
        self._by = hosts.replicas if hosts else ()
        url = self.redis_server.url
        self.web: WebPart | WebProcess | None = WebPart(redis_url=url)
        if hosts:
            self.web = WebProcess(redis_url=url, by=hosts.web) if hosts.web else None

    def start(self, *, workers: Sequence[str] = ("cpu", "control")) -> None:
        self.redis_server.start()
        for name in workers:
            self.start_worker(name)
        if self.web:
            self.web.start()

    def start_worker(
        self,
        name: str,
        *,
        by: Sequence[str] | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Start a worker, on another host than the others where `by` and `settings` say so."""
        options = {"cpu": CPU, "gpu": GPU, "control": CONTROL}[name.partition("@")[0]]
        self.start_process(name, [*WORKER, *options], by=by, settings=settings)

    def start_process(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        by: Sequence[str] | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Start Python with these arguments; it ends with the stack."""
        with (self.var / f"{name}.log").open("ab") as log:
            self.workers[name] = psutil.Popen(
                [*(self._by if by is None else by), sys.executable, *arguments],
                cwd=ROOT,
                env={**self.environment, **settings},
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        if self.web:
            self.web.stop()
        self.stop_workers(*self.workers)
        self.client.close()
        self.redis_server.kill()

    def stop_workers(self, *names: str) -> None:
        workers = [self.workers.pop(name) for name in names]
        for worker in workers:
            if worker.is_running():
                worker.terminate()
        for worker in workers:
            try:
                worker.wait(timeout=20)
            except psutil.TimeoutExpired:
                worker.kill()
                worker.wait(timeout=20)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            # Its models are of other runtimes; a worker that loads none starts two seconds sooner.
            "CLIPPER_PRELOAD_SKLEARN": "0",
            "CLIPPER_VAR": str(self.var),
            "CLIPPER_RUN_DIR": str(self.run),
            **self._settings,
        }

    # What tests do to the registry.

    def add_version(self, name: str, *, answer: int = 0) -> ModelVersion:
        """Register version 1, 2, ... of a model; it answers each pair of numbers with `answer`."""
        return self.add_artifact(name, runtime="onnx", content=constant(answer))

    def add_artifact(
        self, name: str, *, runtime: str, content: bytes, **fields: Any
    ) -> ModelVersion:
        model, _ = Model.objects.get_or_create(name=name, input_type="doubles")
        return services.create_version(
            model=model,
            version=str(model.versions.count() + 1),
            runtime=runtime,
            artifact=io.BytesIO(content),
            allow_pickle=runtime == "python",
            by=BY,
            **fields,
        )

    def deploy(self, version: ModelVersion) -> Release:
        return services.deploy(version=version, by=BY)

    def deploy_and_wait(self, version: ModelVersion) -> Release:
        return self.wait_for_release(self.deploy(version), state="live")

    def wait_for_release(self, release: Release, *, state: str, within_s: float = 240.0) -> Release:
        def look() -> Release | None:
            release.refresh_from_db()
            assert release.is_open or release.state == state, f"{release}: {release.error}"
            return release if release.state == state else None

        def found() -> str:
            return f"{release.state} {release.progress} {release.error} → {state}"

        return wait_for(look, within_s=within_s, what=found)

    def wait_for_progress(self, release: Release, text: str) -> None:
        def look() -> bool:
            release.refresh_from_db()
            return release.progress == text

        wait_for(look, within_s=180, what=text)

    def scale_beyond(self, version: ModelVersion, *, replicas: int) -> None:
        """Want more replicas than there are slots for, which an operator can't ask for."""
        ModelVersion.objects.filter(pk=version.pk).update(replicas=replicas)

    def wait_for_slots(self, device: str, *, total: int = 1) -> None:
        """Until the control worker knows of workers with so many slots for this device."""

        def look() -> bool:
            last = read_control(self.client).last
            return bool(last and device in last.slots and last.slots[device].total >= total)

        wait_for(look, within_s=180, what=f"slots for {device}")

    def retire(self, *names: str) -> None:
        """Scale everything of these models to nothing, and wait until it is."""
        for version in ModelVersion.objects.filter(model__name__in=names):
            services.configure_version(version=version, replicas=0, by=services.SYSTEM)
        wait_for(
            lambda: (
                not any(
                    record.model in names and record.state is not ReplicaState.FAILED
                    for record in self.directory.read()
                )
            ),
            within_s=180,
            what="all replicas gone",
        )

    def wait_for_rounds(self, count: int) -> None:
        """Until the control worker has ended so many rounds; the first may have begun before."""
        for _ in range(count):
            self._wait_for_round()

    def _wait_for_round(self) -> None:
        before = read_control(self.client).age_s

        def look() -> bool:
            nonlocal before
            was, before = before, read_control(self.client).age_s
            return before is not None and (was is None or before < was)

        wait_for(look, within_s=180, what="a round")

    # What tests see.

    def replicas(self, version: ModelVersion) -> list[ReplicaRecord]:
        return [one for one in self.directory.read() if one.version_id == version.pk]

    def wait_for_replicas(
        self,
        version: ModelVersion,
        *,
        count: int = 1,
        state: ReplicaState = ReplicaState.READY,
        apart_from: Sequence[ReplicaRecord] = (),
        within_s: float = 180.0,
    ) -> list[ReplicaRecord]:
        known = {record.id for record in apart_from}

        def look() -> list[ReplicaRecord] | None:
            found = [
                one for one in self.replicas(version) if one.state is state and one.id not in known
            ]
            return found if len(found) == count else None

        return wait_for(look, within_s=within_s, what=f"{count} {state} of {version}")


def constant(answer: int, *, width: int = 2) -> bytes:
    """A graph that says this of each row of so many numbers."""
    row = helper.make_tensor_value_info("row", TensorProto.DOUBLE, [None, width])
    said = helper.make_tensor_value_info("said", TensorProto.INT64, [None])
    value = helper.make_tensor("value", TensorProto.INT64, [1], [answer])
    nodes = [
        helper.make_node("Shape", ["row"], ["rows"], start=0, end=1),
        helper.make_node("ConstantOfShape", ["rows"], ["said"], value=value),
    ]
    graph = helper.make_graph(nodes, "constant", [row], [said])
    opset = [helper.make_opsetid("", 17)]
    model: bytes = helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    return model


def is_gone(pid: int) -> bool:
    """Return if a process has ended; one that nobody has reaped yet has."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
