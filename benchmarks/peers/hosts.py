"""The servers while they run: each peer, Clipper's whole stack, and the bare echo server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks import models
from benchmarks.management import Operator
from benchmarks.paper.containers import ONE_THREAD
from benchmarks.peers.bodies import PLAIN, Protocol, Questions
from benchmarks.peers.peer import Peer, Place, Setting
from benchmarks.processes import REPLICA, processes_by_role
from benchmarks.quick import LINEAR, publish_linear
from benchmarks.servers import (
    LOOK_AGAIN_SECONDS,
    ServerFailed,
    clean_environment,
    running,
    running_echo,
    running_stack,
)
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


class WrongAnswers(Exception):
    """A server does not predict what the model predicts."""


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
    api_key: str = "none"
    client: httpx.Client | None = None


@contextmanager
def running_peer(
    peer: Peer, setting: Setting, *, questions: Questions, environment: Path, folder: Path
) -> Iterator[Host]:
    place = Place(
        environment=environment, folder=folder, ports=tuple(free_port() for _ in range(PORTS))
    )
    launch = peer.launch(place, setting)
    url = f"http://{HOST}:{place.port}{peer.path}"
    variables = {**variables_of(place, setting, model=questions.model), **launch.variables}
    try:
        with running(
            launch.command,
            log=folder / "server.log",
            up=lambda: _answers(url, body=next(questions.bodies(peer.protocol))),
            seconds=START_SECONDS,
            settings=variables,
        ):
            check(url, protocol=peer.protocol, questions=questions)
            row = Row(
                server=peer.title,
                setting=setting.name,
                url=url,
                bodies=questions.file(peer.protocol),
            )
            yield Host(rows=(row,), processes=lambda: _marked(folder))
    finally:
        # Some leave helpers behind, in groups of their own.
        end_all(lambda: processes_of(folder), grace_seconds=END_SECONDS)


def variables_of(place: Place, setting: Setting, *, model: Path) -> Mapping[str, str]:
    """What every peer is told; the mark is how all of its processes are found again."""
    path = clean_environment(os.environ).get("PATH", os.defpath)
    return {
        **ONE_THREAD,
        MARK: str(place.folder),
        "PATH": os.pathsep.join((str(place.environment / "bin"), path)),
        "PYTHONPATH": str(ROOT),
        "PEER_MODEL": str(model),
        "PEER_PORT": str(place.port),
        "PEER_WAIT_MS": str(setting.wait_ms),
    }


@contextmanager
def running_clipper(questions: Questions, *, folder: Path) -> Iterator[Host]:
    """The stack with its demo, and the model published as an operator would."""
    with running_stack(folder) as stack, stack.client() as client:
        operator = Operator(client)
        publish_linear(operator, artifact=models.linear_artifact())
        operator.wait_until_answered(LINEAR, body=next(questions.bodies(PLAIN)).encode())
        url = f"{stack.url}/api/v1/applications/{LINEAR}/predict"
        check(url, protocol=PLAIN, questions=questions, headers=dict(client.headers))
        bodies = questions.file(PLAIN)
        rows = (
            Row(server=CLIPPER, setting=MISSES, url=url, bodies=bodies),
            Row(server=CLIPPER, setting=HITS, url=url, bodies=bodies, unique=False),
        )
        replicas = {replica["pid"]: replica["model"] for replica in operator.replicas()}
        yield Host(
            rows=rows,
            processes=lambda: _without_the_demo(stack.pid, replicas=replicas),
            api_key=stack.api_key,
            client=client,
        )


def _without_the_demo(pid: int, *, replicas: Mapping[int, str]) -> list[psutil.Process]:
    """All of the stack but the replicas of models that nobody asks here."""
    roles = processes_by_role(pid, replicas=replicas)
    idle = {f"{REPLICA} {model}" for model in replicas.values()} - {f"{REPLICA} {LINEAR}"}
    return [process for role, members in roles.items() if role not in idle for process in members]


@contextmanager
def running_bare_echo(questions: Questions, *, folder: Path) -> Iterator[Host]:
    with running_echo(folder) as echo:
        url = f"{echo.url}/"
        _wait_until_answered(url, body=next(questions.bodies(PLAIN)))
        row = Row(server=ECHO, setting="", url=url, bodies=questions.file(PLAIN))
        yield Host(rows=(row,), processes=lambda: _tree(echo.pid))


def check(
    url: str, *, protocol: Protocol, questions: Questions, headers: Mapping[str, str] | None = None
) -> None:
    """Compare some answers with the model's own, and raise at the first that differs."""
    with httpx.Client(headers=headers, timeout=ANSWER_SECONDS) as client:
        for body, label in questions.samples(protocol, count=CHECKED):
            response = _asked(client, url=url, body=body)
            if response.is_error:
                raise WrongAnswers(f"it answered {response.status_code}: {response.text[:300]}")
            if _label_in(response, protocol=protocol) != label:
                raise WrongAnswers(f"{label} expected, it answered {response.text[:300]}")


def _label_in(response: httpx.Response, *, protocol: Protocol) -> int:
    try:
        return protocol.label(response.json())
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise WrongAnswers(f"no class is in {response.text[:300]}") from error


def _answers(url: str, *, body: str) -> bool:
    with httpx.Client(timeout=ANSWER_SECONDS) as client:
        try:
            return _asked(client, url=url, body=body).is_success
        except httpx.HTTPError:
            return False


def _wait_until_answered(url: str, *, body: str) -> None:
    """The echo's port is open before its worker is there."""
    deadline = time.monotonic() + START_SECONDS
    while not _answers(url, body=body):
        if time.monotonic() > deadline:
            raise ServerFailed(f"It doesn't answer after {START_SECONDS:.0f} s.")
        time.sleep(LOOK_AGAIN_SECONDS)


def _asked(client: httpx.Client, *, url: str, body: str) -> httpx.Response:
    return client.post(url, content=body, headers={"Content-Type": "application/json"})


def _marked(folder: Path) -> list[psutil.Process]:
    return _existing(processes_of(folder))


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _existing(pids: list[int]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for pid in pids:
        try:
            found.append(psutil.Process(pid))
        except psutil.NoSuchProcess:
            continue
    return found
