"""A second host joins a running stack with one command and one token, and serves its models."""

import json
import os
import secrets
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from clipper_site.stack.redis_server import find_server
from tests.serving.cluster.running_stack import ROOT, constant
from tests.serving.cluster.two_hosts.apart import AWAY, HERE
from tests.serving.cluster.two_hosts.network_namespaces import WEB_ADDRESS, Link, inside
from tests.serving.cluster.wait_until import wait_for
from tests.site.postgresql_server import USER, postgresql_server

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

URL = f"http://{WEB_ADDRESS}:8000"
# Addresses by which the stack reaches its own servers, and nobody else does.
SETTINGS = {
    "DATABASE_URL": f"postgres://{USER}@127.0.0.1/{USER}",
    "REDIS_URL": "redis://:pass@127.0.0.1:6379/0",
    "DJANGO_SECRET_KEY": secrets.token_urlsafe(48),
    "CLIPPER_HOST": WEB_ADDRESS,
    "CLIPPER_CHECK_NICE": "0",
}
KINDS = ("predict", "console", "control")
WORKER = "import sys; from clipper_server.commands import worker; sys.exit(worker(sys.argv[1:]))"
DEPLOY = """
import sys
from pathlib import Path
from clipper_client import Client
client = Client(sys.argv[1], key=sys.argv[2])
client.deploy("seven", Path(sys.argv[3]), runtime="onnx", input_type="doubles", wait=300)
routes = [{"model": "seven"}]
client.request("POST", "applications/",
    {"name": "a", "input_type": "doubles", "slo_ms": 2000, "default_output": 0, "routes": routes})
"""
ASK = """
import sys
from clipper_client import Client
answer = Client(sys.argv[1], key=sys.argv[2]).predict("a", [float(sys.argv[3]), 0.0])
print("default" if answer.default else answer.output)
"""


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A stack without a worker on one host, and the folder of the other one."""

    link: Link
    folder: Path
    processes: list[psutil.Popen]

    def start(self, *words: str, settings: Mapping[str, str], away: bool = False) -> psutil.Popen:
        place = self.link.replicas if away else self.link.web
        with (self.folder / "log").open("ab") as log:
            process = psutil.Popen(
                [*inside(place, host=AWAY if away else HERE), sys.executable, *words],
                cwd=ROOT,
                env={**_plain(), **settings},
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def worker(self, *words: str, var: str = "away") -> psutil.Popen:
        given = ("--slots", "2", "--var", str(self.folder / var))
        return self.start("-c", WORKER, *words, *given, settings={}, away=True)

    def run(self, *words: str) -> str:
        """Run Python on the stack's host; return what it prints."""
        done = subprocess.run(
            [*inside(self.link.web), sys.executable, *words],
            cwd=ROOT,
            env=_plain() | SETTINGS | {"CLIPPER_VAR": str(self.folder / "here")},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr + (self.folder / "log").read_text()
        return done.stdout.strip()


@pytest.fixture(scope="module")
def installed(link: Link) -> Iterator[Installed]:
    with ExitStack() as stack:
        by = inside(link.web)
        stack.enter_context(postgresql_server(by=by, network="192.0.2.0/24"))
        # Sockets have short paths.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="join-", dir="/tmp")))
        made = Installed(link=link, folder=folder, processes=[])
        stack.callback(_end, made.processes)
        options = ("--requirepass", "pass", "--save", "")
        server = str(find_server())
        made.processes.append(
            psutil.Popen([*by, server, *options], cwd=folder, stdout=subprocess.DEVNULL)
        )
        made.run("manage.py", "migrate", "--noinput")
        for kind in KINDS:
            here = {"CLIPPER_VAR": str(folder / "here")}
            made.start("-m", "clipper_site.stack.process", kind, settings=SETTINGS | here)
        yield made


def _plain() -> dict[str, str]:
    """Return this environment without settings of Clipper's."""
    of_clipper = ("CLIPPER_", "DJANGO_", "REDIS_", "DATABASE_")
    return {name: text for name, text in os.environ.items() if not name.startswith(of_clipper)}


def _end(processes: list[psutil.Popen]) -> None:
    for process in reversed(processes):
        for each in [*process.children(recursive=True), process] if process.is_running() else []:
            each.kill()
        process.wait(20)


def test_one_command_and_one_token_and_later_none(installed: Installed) -> None:
    create = ("manage.py", "create_api_key")
    token = installed.run(*create, "away", "--scopes", "join")
    key = installed.run(*create, "k", "--scopes", "predict,manage")
    file, model = installed.folder / "token", installed.folder / "seven.onnx"
    file.touch(mode=0o600)
    file.write_text(token)
    model.write_bytes(constant(7))
    wait_for(lambda: _answers(installed), within_s=180, what="the console")

    join = ("--join", URL, "--insecure-http", "--token-file", str(file))
    worker = installed.worker(*join)
    installed.run("-c", DEPLOY, URL, key, str(model))
    assert installed.run("-c", ASK, URL, key, "1") == "7"

    state = installed.folder / "away"
    kept = state / "joined.json"
    assert (stat.S_IMODE(kept.stat().st_mode), stat.S_IMODE(state.stat().st_mode)) == (0o600, 0o700)
    assert json.loads(kept.read_text())["REDIS_URL"] == f"redis://:pass@{WEB_ADDRESS}:6379/0"
    texts = [path.read_bytes() for path in state.rglob("*") if path.is_file()]
    for process in [worker, *worker.children(recursive=True)]:
        texts += [
            Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")
        ]
    assert len(texts) > 8
    assert not any(token.encode() in text for text in texts)
    assert token not in (installed.folder / "log").read_text()

    assert installed.worker(*join, var="third").wait(60) == 1
    assert "got one that is used: away" in (installed.folder / "log").read_text()

    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    file.unlink()
    installed.worker()
    wait_for(
        lambda: installed.run("-c", ASK, URL, key, "2") == "7", within_s=120, what="an answer again"
    )


def _answers(installed: Installed) -> bool:
    code = f"import urllib.request as r; print(r.urlopen('{URL}/health/console', timeout=9).status)"
    done = subprocess.run(
        [*inside(installed.link.web), sys.executable, "-c", code], capture_output=True, check=False
    )
    return done.stdout.strip() == b"200"
