"""A host that a model tries to change which is loaded in one of many ways."""

import ctypes
import hashlib
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from serving.cluster.control.checks.version_trial import try_out
from serving.container.child.child_process import ChildPredictor
from serving.container.child.model_process import ForkServer, ModelEnvironment
from serving.container.failures.container_errors import ContainerError
from serving.container.loading import load_predictor
from serving.container.sandbox.confined import Confinement, confined_command
from serving.container.spec import LoadSpec
from serving.testing import version_spec
from tests.serving.container.sandbox.changer import CALLS, COLUMN, WHO_PROCESS

CHANGER = Path(__file__).with_name("changer.py")
# Files, each for the call of its name.
FILES = (
    *("chmod", "fchmodat2", "chown", "lchown", "utime", "setxattr", "removexattr", "setxattrat"),
    *("file_setattr", "truncate"),
)
# This Python, with where its packages lie if that is elsewhere.
PACKAGES = Path(msgspec.__file__).parents[1]
ENVIRONMENT = ModelEnvironment(
    folder=Path(sys.prefix),
    prefix=PACKAGES if sys.prefix == sys.base_prefix else Path(sys.base_prefix),
)
SERVER = ForkServer()
Way = Callable[[LoadSpec], object]


def as_replica(spec: LoadSpec, **by: Any) -> None:
    ChildPredictor(spec, **by).close()


def as_check(spec: LoadSpec, **by: Any) -> None:
    version = version_spec(model="changer", runtime=spec.runtime, digest=spec.sha256)
    try_out(version, artifact=spec.artifact, **by)


def as_program(spec: LoadSpec) -> None:
    """As a package's own code runs while it is built."""
    program = [sys.executable, str(spec.artifact)]
    confined = confined_command(program, Confinement(write=[], read=[spec.artifact]))
    subprocess.run(confined, check=False, stderr=subprocess.DEVNULL)


WAYS: dict[str, Way] = {
    "here": load_predictor,
    "replica": lambda spec: as_replica(spec, server=SERVER),
    "executed replica": as_replica,
    "environment's replica": lambda spec: as_replica(spec, environment=ENVIRONMENT),
    "check": lambda spec: as_check(spec, server=SERVER),
    "executed check": as_check,
    "environment's check": lambda spec: as_check(spec, environment=ENVIRONMENT),
    "command": load_predictor,
    "check of a command": lambda spec: as_check(spec, server=SERVER),
    "build": as_program,
}


def main(how: str, folder: Path) -> object:
    """Return what a model that is loaded in this way has got, and what has changed."""
    for name in FILES:
        (folder / name).write_text("of the stack")
        (folder / name).chmod(0o600)
    os.setxattr(folder / "removexattr", "user.kept", b"1")
    victim = subprocess.Popen(["sleep", "600"])
    told: list[str] = []
    artifact = folder / "artifact"
    with (
        victim,
        socket.create_server(("127.0.0.1", 0)) as told_at,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stack,
    ):
        threading.Thread(target=hear, args=(told_at, told), daemon=True).start()
        stack.bind(str(folder / "stack.sock"))
        targets = {
            "told_at": told_at.getsockname()[1],
            "pid": victim.pid,
            "folder": str(folder),
            "readable": str(artifact),
            "port": free_port(),
            "socket": str(folder / "stack.sock"),
        }
        write_artifact(artifact, targets=targets, command="command" in how)
        before = state(folder, victim=victim.pid)
        with suppress(ContainerError):
            WAYS[how](spec_of(artifact, command="command" in how))
        after = state(folder, victim=victim.pid)
        victim.kill()
        stack.setblocking(False)
        with suppress(BlockingIOError):
            told.append(f"the stack heard {stack.recv(100)!r}")
    changed = [name for name in before if before[name] != after[name]]
    return {"told": told, "changed": changed}


def free_port() -> int:
    """Outside of those that the kernel hands out."""
    return next(port for port in range(18_100, 18_200) if is_free(port))


def is_free(port: int) -> bool:
    with socket.socket() as listener, suppress(OSError):
        listener.bind(("127.0.0.1", port))
        return True
    return False


def hear(listener: socket.socket, told: list[str]) -> None:
    """What a model has got; "heard" is among it, so that one which wasn't run is found out."""
    while True:
        peer, _ = listener.accept()
        with peer, peer.makefile("rb") as words:
            told += ["heard", *json.loads(words.read())]


def write_artifact(artifact: Path, *, targets: dict[str, Any], command: bool) -> None:
    code = CHANGER.read_text().replace("@TARGETS@", json.dumps(targets))
    artifact.write_text(f"#!{sys.executable}\n{code}" if command else code)


def spec_of(artifact: Path, *, command: bool) -> LoadSpec:
    return LoadSpec(
        runtime="command" if command else "python",
        artifact=artifact,
        sha256=hashlib.sha256(artifact.read_bytes()).hexdigest(),
        input_type="doubles",
    )


def state(folder: Path, *, victim: int) -> dict[str, object]:
    libc = ctypes.CDLL(None)
    priority = libc.syscall(CALLS["ioprio_set"][COLUMN] + 1, WHO_PROCESS, victim)  # ioprio_get
    process = {
        "limits": resource.prlimit(victim, resource.RLIMIT_NOFILE),
        "niceness": os.getpriority(os.PRIO_PROCESS, victim),
        "scheduler": os.sched_getscheduler(victim),
        "cores": os.sched_getaffinity(victim),
        "disk priority": priority,
    }
    return process | {name: status(folder / name) for name in (*FILES, "artifact")}


def status(file: Path) -> object:
    """All that there is to a file but when it was read."""
    found = file.stat()
    fields = (found.st_mode, found.st_uid, found.st_gid, found.st_size)
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return fields, times, os.listxattr(file)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
