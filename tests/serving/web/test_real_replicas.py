"""What the engine promises, with replicas that are processes of their own, over their sockets."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from core.loop.loop_slices import Slice
from serving.endpoints.predictions.batch_splitting import parse
from serving.endpoints.predictions.predict import answer
from serving.endpoints.predictions.predict_request import decoder
from serving.engine.engine import Target
from serving.engine.gather import Gather
from serving.engine.outcome import Status
from serving.rpc.tcp.credentials import Credentials
from serving.testing import PlayedServing, application_spec, routes_to, version_spec
from serving.web.links import ReplicaLinks
from tests.serving.cluster.samples import a_record
from tests.serving.container.test_command_line import ROOT, arguments

START_S = 40.0
# Adds up each input, unless that is the one which no process survives.
MODEL = """
import os

class Predictor:
    def __init__(self, path):
        pass

    def pred_batch(self, inputs):
        if any(list(row) == [666.0] for row in inputs):
            os._exit(3)
        return [float(sum(row)) for row in inputs]
"""


class Replicas:
    """One replica process at a time, replaced when it has died, as the cluster does it."""

    def __init__(self, serving: PlayedServing, *, folder: Path) -> None:
        self.started = 0
        self._folder = folder
        self.links = ReplicaLinks(
            serving.engine,
            credentials=Credentials(secret=b"the secret of this cluster, and of no other"),
            on_change=serving.router.refresh,
        )
        self._process: asyncio.subprocess.Process | None = None

    @classmethod
    @asynccontextmanager
    async def of(cls, serving: PlayedServing, *, folder: Path) -> AsyncIterator[Replicas]:
        replicas = cls(serving, folder=folder)
        keeping = asyncio.create_task(replicas.keep())
        try:
            yield replicas
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await replicas.links.close()
            serving.engine.close()
            await replicas.end()

    async def keep(self) -> None:
        while True:
            process = await self._start()
            await process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        self.started += 1
        command = arguments("serve", runtime="python", content=MODEL, at=self._folder / "artifact")
        command += ["--address", f"unix:{self._folder}/{self.started}.sock", "--name", "m1"]
        command += ["--version", "1", "--version-id", "1"]
        self._process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        line = json.loads(await asyncio.wait_for(self._process.stdout.readline(), START_S))
        replica, address = line["replica"], line["address"]
        self.links.sync([a_record(replica, address=address, model="m1", generation=0)])
        return self._process

    async def end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def one_model(**changes: Any) -> PlayedServing:
    spec = application_spec(routes=routes_to(1), **changes)
    return PlayedServing(spec, queue_capacity=10_000)


async def test_a_large_batch_gets_the_models_answer_to_every_input(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    serving = one_model(slo_ms=50.0)
    async with Replicas.of(serving, folder=tmp_path_factory.mktemp("r")):
        body = json.dumps({"input_batch": [[n, 1] for n in range(10_000)]}).encode()
        slice = Slice(serving.processor.resources.turns)
        request = await parse(decoder, body, input_type="doubles", slice=slice)
        answered = await answer(
            serving.runtime,
            application=serving.application,
            request=request,
            arrived=monotonic(),
            slice=slice,
        )
    items = json.loads(answered)["batch_predictions"]
    assert [item["output"] for item in items] == [n + 1 for n in range(10_000)]
    assert not any(item["default"] for item in items)


async def test_an_input_that_kills_is_found_with_few_deaths_and_innocents_are_answered(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    serving = one_model()
    async with Replicas.of(serving, folder=tmp_path_factory.mktemp("r")) as replicas:
        asked = {n: _ask(serving, n) for n in [*range(40), 666]}
        await asyncio.gather(*(gather.settled(seconds=START_S) for gather in asked.values()))
        statuses = {n: gather.outcomes[0].status for n, gather in asked.items()}
        assert {n for n, status in statuses.items() if status != Status.OK} == {666}
        assert statuses[666] == Status.QUARANTINED
        assert _ask(serving, 666).outcomes[0].status == Status.QUARANTINED
        assert replicas.started <= 5  # four died at most: of 41 rows, of 5, of it alone


def _ask(serving: PlayedServing, number: int) -> Gather:
    gather = Gather(calls=1)
    serving.engine.ask(
        gather,
        [Target.of(version_spec(1))],
        input=b"[%d]" % number,
        deadline=monotonic() + START_S,
    )
    return gather
