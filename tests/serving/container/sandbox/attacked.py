"""A host with secrets everywhere, on which an attacker is loaded in one of many ways."""

import ctypes
import hashlib
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import msgspec

from serving.cluster.control.checks.version_trial import try_out
from serving.container.child.child_process import ChildPredictor
from serving.container.child.model_process import ForkServer, ModelEnvironment
from serving.container.failures.container_errors import ContainerError
from serving.container.loading import load_predictor
from serving.container.predictor import Predictor
from serving.container.sandbox.confined import Confinement, confined_command
from serving.container.spec import LoadSpec
from serving.testing import version_spec
from tests.serving.container.sandbox.changer import CALLS, COLUMN, WHO_PROCESS

SECRET = os.environ["DJANGO_SECRET_KEY"]
ATTACKER = Path(__file__).with_name("attacker.py")
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
CONFINED = (
    *("replica", "executed replica", "environment's replica", "command", "build"),
    *("check", "executed check", "environment's check", "check of a command"),
)


def load(how: str, artifact: Path) -> object:
    """Load the artifact in this way, or where nothing confines it ("here"); return its answer."""
    spec = LoadSpec(
        runtime="command" if "command" in how else "python",
        artifact=artifact,
        sha256=hashlib.sha256(artifact.read_bytes()).hexdigest(),
        input_type="doubles",
    )
    # Each process is forked from a server that has imported scikit-learn, or executed.
    server = SERVER if how in ("replica", "check", "check of a command") else None
    environment = ENVIRONMENT if how.startswith("environment") else None
    if how == "build":  # as a package's own code runs while it is built
        confinement = Confinement(write=[], read=[artifact])
        program = confined_command([sys.executable, str(artifact)], confinement)
        return subprocess.run(program, check=False, stderr=subprocess.DEVNULL).returncode
    if "check" in how:
        version = version_spec(model="attacker", runtime=spec.runtime, digest=spec.sha256)
        return try_out(version, artifact=artifact, server=server, environment=environment).fault
    predictor: Predictor
    if how in ("here", "command"):
        predictor = load_predictor(spec)
    else:
        predictor = ChildPredictor(spec, server=server, environment=environment)
    predictor.warm_up()
    (answer,) = predictor.answer_batch([b"[1]"])
    predictor.close()
    return json.loads(answer.payload)


def find_secrets(how: str, folder: Path) -> object:
    """Return where a model that is loaded in this way has found the secret."""
    secret = folder / "env.sh"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    os.set_inheritable(os.open(secret, os.O_RDONLY), True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "redis.sock"))
    listener.listen()
    threading.Thread(target=tell_everyone, args=(listener,), daemon=True).start()
    code = ATTACKER.read_text().replace("@LEFT@", str(folder))
    artifact = folder / "artifact"
    artifact.write_text(code.replace("@RAISES@", "yes" if "check" in how else "no"))
    return load(how, artifact)


def tell_everyone(listener: socket.socket) -> None:
    while True:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(SECRET.encode())


def find_changes(how: str, folder: Path) -> object:
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
        code = CHANGER.read_text().replace("@TARGETS@", json.dumps(targets))
        artifact.write_text(f"#!{sys.executable}\n{code}" if "command" in how else code)
        before = state(folder, victim=victim.pid)
        with suppress(ContainerError):
            load(how, artifact)
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
    """Collect a model's findings; "heard" is among them, to expose a model that wasn't run."""
    while True:
        peer, _ = listener.accept()
        with peer, peer.makefile("rb") as words:
            told += ["heard", *json.loads(words.read())]


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
    ATTACKS = {"secrets": find_secrets, "changes": find_changes}
    print(json.dumps(ATTACKS[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))))
