"""A replica hands its peers over to the process of its model, except where they speak TLS."""

from pathlib import Path
from typing import Any

import pytest

from registry.artifacts.fetching import ArtifactFiles
from serving.cluster.replica.replica_process import Assignment, new_server
from serving.cluster.replica.watchdog import WatchTable
from serving.container.child.child_process import ChildPredictor
from serving.container.server.listener import ChildServer, ContainerServer
from serving.container.spec import LoadSpec
from serving.rpc.tcp.credentials import Credentials, web_tls
from serving.testing import version_spec
from tests.serving.cluster.samples import a_record
from tests.serving.container.artifacts import save
from tests.serving.container.server.test_server import Web
from tests.serving.rpc.tcp.certificates import Authority

MODEL = b"""
import os

class Predictor:
    def __init__(self, path):
        pass

    def pred_batch(self, inputs):
        return [os.getpid()] * len(inputs)
"""


@pytest.mark.parametrize("tls", [False, True])
async def test_over_tls_alone_the_replica_s_process_stays_in_between(
    *, tls: bool, settings: Any, tmp_path: Path
) -> None:
    authority = Authority.new(tmp_path, name="ours")
    certificate, key = authority.sign(host="127.0.0.1")
    settings.CLIPPER_ADVERTISE_HOST = settings.CLIPPER_BIND_HOST = "127.0.0.1"
    settings.CLIPPER_REPLICA_PORTS = range(1)
    settings.CLIPPER_TLS_CERT, settings.CLIPPER_TLS_KEY = map(str, (certificate, key))
    if not tls:
        settings.CLIPPER_TLS_CERT = ""
    assignment = Assignment(
        record=a_record("r1"),
        version=version_spec(1),
        artifacts=ArtifactFiles.default(),
        run_dir=tmp_path,
        hung_s=60.0,
    )
    saved = save(MODEL, at=tmp_path / "artifact")
    predictor = ChildPredictor(LoadSpec(runtime="python", input_type="doubles", **saved))
    slot = WatchTable().slot(0)
    server = new_server(assignment, predictor=predictor, slot=slot)
    await server.start()
    web = await Web.dial(
        server.address,
        hello=assignment.hello,
        credentials=Credentials(
            secret=settings.CLIPPER_CLUSTER_SECRET.encode(),
            tls=web_tls(authority=authority.certificate) if tls else None,
        ),
    )
    (answer,) = await web.ask(b"[1]")
    web.connection.close()
    server.drain()
    assert await server.wait_closed(10)
    predictor.close()

    assert int(answer.payload) == predictor.process.pid
    assert type(server) is (ContainerServer if tls else ChildServer)
