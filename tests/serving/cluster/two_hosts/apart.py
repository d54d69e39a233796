"""A stack on two hosts without a shared disk: what is started on each, and asked of them."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from registry.models import ModelVersion
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.metrics.published import CONSOLES, read_published
from tests.serving.cluster.running_stack import Stack
from tests.serving.cluster.two_hosts.network_namespaces import (
    REPLICA_ADDRESS,
    WEB_ADDRESS,
    Link,
    inside,
)
from tests.serving.cluster.wait_until import wait_for

PORT = "8000"
WEB = f"http://{WEB_ADDRESS}:{PORT}"
SETTINGS = {"CLIPPER_ADVERTISE_HOST": WEB_ADDRESS, "CLIPPER_ALLOWED_HOSTS": WEB_ADDRESS}
# Both kinds of web process, the console by way of the other one.
KINDS = ("predict", "console")
HERE, AWAY = "here", "away"

ASK = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], data=sys.argv[2].encode() or None)
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""


def start_web(stack: Stack) -> None:
    for kind in KINDS:
        stack.start_process(kind, _server(kind, stack))
    wait_for(lambda: consoles(stack), within_s=180, what="a console")
    wait_for(lambda: read_published(stack.client), within_s=180, what="who answers queries")


def _server(kind: str, stack: Stack) -> list[str]:
    """Return the arguments that run a process of a kind, as supervisord.conf has them."""
    listens = [f"http={WEB_ADDRESS}:{PORT}"]
    if kind == "console":
        run = f"unix:{stack.run}"
        listens = [f"http={run}/console-http.sock"]
    options = [option for listen in listens for option in ("--listen", listen)]
    command = [
        sys.executable,
        "-m",
        "serving.http.server",
        f"clipper_site.{kind}_asgi:application",
    ]
    return ["-m", "serving.master", kind, *options, "--", *command]


def start_away(
    stack: Stack, link: Link, *, settings: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Start the worker of the other host, which has nothing of this one's folder."""
    stack.start_worker(
        f"cpu@{AWAY}",
        by=inside(link.replicas, host=AWAY),
        settings={
            "CLIPPER_VAR": str(folder_away(stack)),
            "CLIPPER_RUN_DIR": str(folder_away(stack) / "run"),
            "DATABASE_URL": f"sqlite:///{stack.var / 'clipper.sqlite3'}",
            "REDIS_URL": stack.redis_server.url,
            "CLIPPER_ADVERTISE_HOST": REPLICA_ADDRESS,
            "CLIPPER_ARTIFACTS_URL": WEB,
            **settings,
        },
    )


def folder_away(stack: Stack) -> Path:
    return stack.var / AWAY


def consoles(stack: Stack) -> list[dict[str, Any]]:
    return read_published(stack.client, among=CONSOLES)


def on(host: str, stack: Stack, version: ModelVersion) -> list[ReplicaRecord]:
    return [
        one
        for one in stack.replicas(version)
        if one.host == host and one.state is ReplicaState.READY
    ]


def ask(link: Link, path: str, body: str = "") -> str:
    command = [*inside(link.web), sys.executable, "-c", ASK, f"{WEB}{path}", body]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=40)
    return done.stdout


def kill(stack: Stack, worker: str) -> None:
    """End a worker and all that it has started, at once."""
    process = stack.workers.pop(worker)
    for each in [*process.children(recursive=True), process]:
        each.kill()
    process.wait(20)
