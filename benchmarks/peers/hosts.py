"""The servers while they run: each peer, Clipper's whole stack, and the bare echo server."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import httpx
import psutil

from benchmarks.command import Failed, Say, say
from benchmarks.compare import Host, Row
from benchmarks.linear import LINEAR, publish_linear
from benchmarks.peers.roster import PLAIN, Home, Peer, Protocol, Questions, Setting
from benchmarks.processes import REPLICA
from benchmarks.servers import ONE_THREAD, clean_environment, is_up, running
from benchmarks.stack import running_stack
from benchmarks.wrk import LoadGenerator
from clipper_site import ROOT
from clipper_site.stack.layout import HOST, free_port
from clipper_site.stack.processes import MARK, end_all, processes_of

MISSES, HITS = "misses", "hits"
SERVER = "server"
# Every answer to so many questions must be right before anything is measured.
CHECKED = 40
START_SECONDS, END_SECONDS = 120.0, 5.0
FOLDER = ROOT / ".venv-peers"
REQUIREMENTS = Path(__file__).with_name("requirements")


def environment(name: str, *, say: Say) -> Path:
    """Return the virtual environment of that name, made where it is missing or its pins changed.
    Failed where that can't be done here; the message is the end of what was said.
    """
    folder, requirements = FOLDER / name, REQUIREMENTS / f"{name}.txt"
    stamp, wanted = folder / "installed", fingerprint(requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    say(f"Installing {name} into {folder.relative_to(ROOT)} (the first time takes a minute) ...")
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-input"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [*pip, "--disable-pip-version-check", "--requirement", str(requirements)],
    ):
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if finished.returncode != 0:
            raise Failed((finished.stderr or finished.stdout).strip()[-1500:])
    stamp.write_text(wanted)
    return folder


def fingerprint(requirements: Path) -> str:
    """Return the origin of an environment: another Python or other pins need another one."""
    return f"{platform.python_version()} {sha256(requirements.read_bytes()).hexdigest()}"


@contextmanager
def running_peer(
    peer: Peer, setting: Setting, *, questions: Questions, environment: Path, folder: Path
) -> Iterator[Host]:
    home = Home(environment, folder, ports=(free_port(), free_port(), free_port()))
    command, variables = peer.launch(home, setting)
    url, bodies = f"http://{HOST}:{home.ports[0]}{peer.path}", questions.file(peer.protocol)
    try:
        with running(
            command,
            log=folder / "server.log",
            up=lambda: is_up(url, body=questions.samples(peer.protocol)[0][0]),
            seconds=START_SECONDS,
            settings={**variables_of(home, setting, model=questions.model), **variables},
        ):
            check(url, protocol=peer.protocol, questions=questions)
            yield Host(
                rows=[Row(setting.name, url, bodies)],
                processes=lambda: {SERVER: _carrying(folder)},
                server=SERVER,
                wrk=LoadGenerator(api_key="none"),
            )
    finally:
        # Some leave helpers behind, in groups of their own.
        end_all(lambda: processes_of(folder), grace_seconds=END_SECONDS)


def variables_of(home: Home, setting: Setting, *, model: Path) -> Mapping[str, str]:
    """Return the variables of every peer; the mark serves to find all of its processes again."""
    path = clean_environment(os.environ).get("PATH", os.defpath)
    return {
        **ONE_THREAD,
        MARK: str(home.folder),
        "PATH": os.pathsep.join((str(home.environment / "bin"), path)),
        "PYTHONPATH": str(ROOT),
        "PEER_MODEL": str(model),
        "PEER_PORT": str(home.ports[0]),
        "PEER_WAIT_MS": str(setting.wait_ms),
    }


def _carrying(folder: Path) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for pid in processes_of(folder):
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


@contextmanager
def running_clipper(questions: Questions, *, folder: Path) -> Iterator[Host]:
    """The stack with its demo, and the model published as an operator would."""
    with running_stack(say=say) as stack:
        publish_linear(stack)
        url, bodies = stack.url_of(LINEAR), questions.file(PLAIN)
        check(url, protocol=PLAIN, questions=questions, headers=dict(stack.client.headers))
        # All of the stack but the replicas of models that nobody asks here.
        asked = f"{REPLICA} {LINEAR}:"
        members = [
            process
            for role, processes in stack.processes.items()
            if role.startswith(asked) or not role.startswith(REPLICA)
            for process in processes
        ]
        yield Host(
            rows=[Row(MISSES, url, bodies), Row(HITS, url, bodies, unique=False)],
            processes=lambda: {SERVER: members},
            server=SERVER,
            wrk=stack.wrk,
            client=stack.client,
        )


def check(
    url: str, *, protocol: Protocol, questions: Questions, headers: Mapping[str, str] | None = None
) -> None:
    """Compare some answers with the model's own, and fail at the first that differs."""
    json_type = {"Content-Type": "application/json"}
    with httpx.Client(headers={**json_type, **(headers or {})}, timeout=10.0) as client:
        for body, label in questions.samples(protocol)[:CHECKED]:
            response = client.post(url, content=body)
            try:
                answered = protocol.label(response.raise_for_status().json())
            except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
                status, text = response.status_code, response.text[:300]
                raise Failed(f"it answered {status}, without a class: {text}") from error
            if answered != label:
                raise Failed(f"{label} expected, it answered {response.text[:300]}")
