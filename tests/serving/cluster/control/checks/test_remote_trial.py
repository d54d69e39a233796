"""A remote version is checked before it goes live: its server is asked, its secret not shown."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.specs import VersionSpec
from serving.cluster.control.checks.version_trial import try_out
from serving.container.remote.configuration import RemoteConfiguration
from serving.testing import version_spec
from tests.serving.container.remote.servers import Inference
from tests.serving.container.remote.stand_in import Asked, Said, standing_in

SECRET = "s3cr3t-of-the-model"
HERE: dict[str, Any] = {"remote_hosts": "127.0.0.1", "secret": SECRET}


def a_version(folder: Path, *, url: str) -> tuple[VersionSpec, Path]:
    artifact = folder / "artifact"
    configuration = {"url": url, "protocol": "open-inference"}
    artifact.write_bytes(RemoteConfiguration.parse(configuration).artifact)
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    return version_spec(model="iris", runtime="remote", digest=digest), artifact


def test_its_server_is_asked_and_tells_what_it_takes_and_no_process_shows_the_secret(
    tmp_path: Path,
) -> None:
    model = Inference(lambda rows: rows.sum(axis=1), width=4)
    sent: list[str] = []
    commands: list[list[str]] = []

    def watched(asked: Asked) -> Said:
        sent.append(asked.headers["authorization"])
        for child in psutil.Process(os.getpid()).children(recursive=True):
            # One that has ended meanwhile is of no interest.
            with suppress(psutil.NoSuchProcess):
                commands.append(child.cmdline())
        return model(asked)

    with standing_in(watched) as server:
        version, artifact = a_version(tmp_path, url=server.url("/v2/models/iris"))
        trial = try_out(version, artifact=artifact, **HERE)

    assert (trial.fault, trial.n_features) == (None, 4)
    assert set(sent) == {f"Bearer {SECRET}"}
    assert any("--secret-on-stdin" in command for command in commands)
    assert SECRET not in repr(commands) + trial.output


@pytest.mark.parametrize(
    ("url", "hosts", "expected"),
    [
        ("http://127.0.0.1:{port}/v2/models/other", "127.0.0.1", "answered 404: nothing at"),
        ("http://127.0.0.1:1/v2/models/iris", "127.0.0.1", "cannot connect to 127.0.0.1:1: "),
        ("http://no.such.name.invalid/v2/models/iris", "*", "its name can't be looked up"),
        ("http://127.0.0.1:{port}/v2/models/iris", "10.0.0.0/8", "is no public address"),
    ],
)
def test_what_cannot_be_asked_does_not_go_live(
    tmp_path: Path, url: str, hosts: str, expected: str
) -> None:
    with standing_in(Inference(lambda rows: rows, width=4)) as server:
        version, artifact = a_version(tmp_path, url=url.format(port=server.port))
        fault = try_out(version, artifact=artifact, **(HERE | {"remote_hosts": hosts})).fault
    assert fault is not None
    assert expected in fault
    assert SECRET not in fault
