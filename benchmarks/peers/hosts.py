"""The servers while they run: each peer, Clipper's whole stack, and the bare echo server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.command import Failed, say
from benchmarks.linear import LINEAR, publish_linear
from benchmarks.peers.peer import PLAIN, Home, Peer, Protocol, Questions, Setting
from benchmarks.processes import REPLICA
from benchmarks.servers import (
    ONE_THREAD,
    clean_environment,
    running,
    running_echo,
    waited_for,
)
from benchmarks.stack import Stack, running_stack
from benchmarks.wrk import LoadGenerator
from scripts.stack.command import free_port
from scripts.stack.environment import MARK
from scripts.stack.layout import HOST, ROOT
from scripts.stack.processes import end_all, processes_of

CLIPPER, ECHO = "Clipper", "Echo"
MISSES, HITS = "misses", "hits"
# Every answer to so many questions must be right before anything is measured.
CHECKED = 40
PORTS = 3
START_SECONDS, END_SECONDS, ANSWER_SECONDS = 120.0, 5.0, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A server under a setting, and what it is asked: a line of the results."""

    server: str
    setting: str
    url: str
    bodies: Path
    unique: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A running server. `client` is there where Clipper's own counters can be read."""

    rows: tuple[Row, ...]
    processes: Callable[[], list[psutil.Process]]
    wrk: LoadGenerator
    client: httpx.Client | None = None


@contextmanager
def running_peer(
    peer: Peer, setting: Setting, *, questions: Questions, environment: Path, folder: Path
) -> Iterator[Host]:
    ports = tuple(free_port() for _ in range(PORTS))
    home = Home(environment=environment, folder=folder, ports=ports)
    launch = peer.launch(home, setting)
    url = f"http://{HOST}:{home.port}{peer.path}"
    try:
        with running(
            launch.command,
            log=folder / "server.log",
            up=lambda: _answers(url, body=next(questions.bodies(peer.protocol))),
            seconds=START_SECONDS,
            settings={**variables_of(home, setting, model=questions.model), **launch.variables},
        ):
            check(url, protocol=peer.protocol, questions=questions)
            bodies = questions.file(peer.protocol)
            row = Row(server=peer.title, setting=setting.name, url=url, bodies=bodies)
            yield Host(
                rows=(row,),
                processes=lambda: _existing(processes_of(folder)),
                wrk=LoadGenerator(api_key="none"),
            )
    finally:
        # Some leave helpers behind, in groups of their own.
        end_all(lambda: processes_of(folder), grace_seconds=END_SECONDS)


def variables_of(home: Home, setting: Setting, *, model: Path) -> Mapping[str, str]:
    """What every peer is told; the mark is how all of its processes are found again."""
    path = clean_environment(os.environ).get("PATH", os.defpath)
    return {
        **ONE_THREAD,
        MARK: str(home.folder),
        "PATH": os.pathsep.join((str(home.environment / "bin"), path)),
        "PYTHONPATH": str(ROOT),
        "PEER_MODEL": str(model),
        "PEER_PORT": str(home.port),
        "PEER_WAIT_MS": str(setting.wait_ms),
    }


@contextmanager
def running_clipper(questions: Questions, *, folder: Path) -> Iterator[Host]:
    """The stack with its demo, and the model published as an operator would."""
    with running_stack(say=say) as stack:
        publish_linear(stack)
        url, bodies = stack.url_of(LINEAR), questions.file(PLAIN)
        check(url, protocol=PLAIN, questions=questions, headers=dict(stack.client.headers))
        rows = (
            Row(server=CLIPPER, setting=MISSES, url=url, bodies=bodies),
            Row(server=CLIPPER, setting=HITS, url=url, bodies=bodies, unique=False),
        )
        yield Host(
            rows=rows, processes=lambda: _without_the_demo(stack), wrk=stack.wrk,
            client=stack.client,
        )  # fmt: skip


def _without_the_demo(stack: Stack) -> list[psutil.Process]:
    """All of the stack but the replicas of models that nobody asks here."""
    asked = f"{REPLICA} {LINEAR}:"
    return [
        process
        for role, members in stack.processes.items()
        if role.startswith(asked) or not role.startswith(REPLICA)
        for process in members
    ]


@contextmanager
def running_bare_echo(questions: Questions, *, folder: Path) -> Iterator[Host]:
    with running_echo(folder) as echo:
        url, body = f"{echo.url}/", next(questions.bodies(PLAIN))
        # Its port is open before its worker is there.
        waited_for(lambda: _answers(url, body=body), seconds=START_SECONDS, what="an answer")
        root = psutil.Process(echo.pid)
        yield Host(
            rows=(Row(server=ECHO, setting="", url=url, bodies=questions.file(PLAIN)),),
            processes=lambda: [root, *root.children(recursive=True)],
            wrk=LoadGenerator(api_key="none"),
        )


def check(
    url: str, *, protocol: Protocol, questions: Questions, headers: Mapping[str, str] | None = None
) -> None:
    """Compare some answers with the model's own, and fail at the first that differs."""
    with httpx.Client(headers=headers, timeout=ANSWER_SECONDS) as client:
        for body, label in questions.samples(protocol, count=CHECKED):
            response = _asked(client, url=url, body=body)
            if response.is_error:
                raise Failed(f"it answered {response.status_code}: {response.text[:300]}")
            try:
                answered = protocol.label(response.json())
            except (ValueError, KeyError, IndexError, TypeError) as error:
                raise Failed(f"no class is in {response.text[:300]}") from error
            if answered != label:
                raise Failed(f"{label} expected, it answered {response.text[:300]}")


def _answers(url: str, *, body: str) -> bool:
    with httpx.Client(timeout=ANSWER_SECONDS) as client, suppress(httpx.HTTPError):
        return _asked(client, url=url, body=body).is_success
    return False


def _asked(client: httpx.Client, *, url: str, body: str) -> httpx.Response:
    return client.post(url, content=body, headers={"Content-Type": "application/json"})


def _existing(pids: Iterable[int]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found
