"""Place of one stack: its folders, files, locks and port, and the command that starts it."""

import errno
import fcntl
import hashlib
import os
import random
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from clipper_site import ROOT
from clipper_site.stack.terminal import StackError

HOST = "127.0.0.1"
CONSOLE_PORT = "CLIPPER_CONSOLE_PORT"
LISTENS_ON = "CLIPPER_HOST"
# How a person chooses the port.
PORT_OPTION = "make run PORT" if (ROOT / "manage.py").exists() else "clipper up --port"
# Each has a meaning that can't be taken from it: to supervisord "%" and quotes, to Redis "\\".
UNUSABLE = '%"\\'


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One stack's place on this machine; two of them differ in `var`, so in everything."""

    var: Path
    run_dir: Path
    host: str
    port: int
    logs: Path
    # Replicas unpack models here; it is emptied at each start.
    temporary: Path
    redis_data: Path
    redis_socket: Path
    redis_config: Path
    redis_password: Path
    # For supervisord and the masters: a model may run as the same user.
    control_password: Path
    secret_key: Path
    environment_script: Path
    demo: Path

    @property
    def dialled(self) -> str:
        """Return the address at which this machine reaches the stack."""
        return {"0.0.0.0": HOST, "::": "::1"}.get(self.host, self.host)

    @property
    def url(self) -> str:
        host = f"[{self.dialled}]" if ":" in self.dialled else self.dialled
        return f"http://{host}:{self.port}"


def layout_of(var: Path, *, port: int, host: str = HOST) -> Layout:
    var = Path(os.path.realpath(var))
    run_dir = run_dir_of(var)
    return Layout(
        var=var,
        run_dir=run_dir,
        host=host,
        port=port,
        logs=var / "log",
        temporary=var / "tmp",
        redis_data=var / "redis",
        redis_socket=run_dir / "redis.sock",
        redis_config=run_dir / "redis.conf",
        redis_password=var / "redis_password",
        control_password=var / "control_password",
        secret_key=var / "secret_key",
        environment_script=var / "env.sh",
        demo=var / "demo.json",
    )


def run_dir_of(var: Path) -> Path:
    """The folder for sockets: inside `var`, or a short private one."""
    inside = var / "run"
    # The kernel takes 107 bytes (103 on macOS) for the path of a Unix socket, and the longest name
    # in the folder, a replica's, has 49. Characters have to stand for themselves in a URL.
    fits = len(os.fsencode(inside)) < 50
    if fits and re.fullmatch(r"[A-Za-z0-9/._~+-]+", str(inside)):
        return inside
    digest = hashlib.sha256(os.fsencode(var)).hexdigest()[:12]
    return Path(f"/tmp/clipper-{os.getuid()}-{digest}")


def make_folders(layout: Layout) -> None:
    """Make every folder, without what replicas left that were killed with their stack."""
    make_var(layout.var)
    shutil.rmtree(layout.temporary, ignore_errors=True)
    for folder in (layout.run_dir, layout.logs, layout.redis_data, layout.temporary):
        make_private(folder)
    for stale in layout.run_dir.glob("r-*.sock"):
        stale.unlink()
    # Uploads that ended with the last stack.
    for stale in (layout.var / "artifacts").glob(".incoming-*"):
        stale.unlink()


def make_var(var: Path) -> None:
    try:
        var.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A folder with other things in it may be anybody's, the home folder say: its mode stays.
        if not any(var.iterdir()):
            make_private(var)
    except OSError as error:
        raise StackError(f"Can't use the folder {var} for the state: {error.strerror}.") from error


def make_private(folder: Path) -> None:
    """Make `folder` readable by this user alone; refuse one that somebody else put there first."""
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise StackError(f"{folder} is not a folder of this user; remove it or choose another VAR.")
    folder.chmod(0o700)


def remove_run_dir(layout: Layout) -> None:
    """Remove the folder of sockets of a stack that has ended, if it lies outside `var`."""
    if layout.run_dir.parent != layout.var and layout.run_dir.exists():
        make_private(layout.run_dir)
        shutil.rmtree(layout.run_dir)


def keep_secret(file: Path) -> str:
    """Return the secret in `file`, which is made on the first start and kept from then on."""
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        file.chmod(0o600)
        secret = file.read_text().strip()
        if not secret:
            raise StackError(f"{file} is empty; remove it to have a new one made.") from None
        return secret
    secret = secrets.token_urlsafe(48)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(secret)
    return secret


def write_private(file: Path, *, text: str) -> None:
    """Replace `file` as a whole, mode 0600 from its first byte on."""
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
    draft.replace(file)


def usable_port(text: str, *, name: str = "PORT") -> int:
    """Read a port; raises StackError for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535):
        raise StackError(f"{name}={text} is no port; expected 1 to 65535.")
    return int(text)


def usable_host(text: str) -> str:
    """Read the address to listen on, loopback unless one is given; raises StackError for none."""
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]"))) if text else HOST
    except ValueError:
        raise StackError(
            f"{LISTENS_ON}={text} is no address; expected one of this machine's, such as {HOST}, "
            "or 0.0.0.0 for all of them."
        ) from None


def usable_console_port(text: str, *, beside: int) -> int:
    """Read the port of the console's own, 0 where it has none; it can't be the stack's."""
    if not text.strip("0"):
        return 0
    port = usable_port(text, name=CONSOLE_PORT)
    if port == beside:
        raise StackError(f"{CONSOLE_PORT}={port} is the stack's own port; choose another.")
    return port


def usable_var(text: str) -> Path:
    """Read the path of the folder for the state; raises StackError for an unusable one."""
    if not text.strip():
        raise StackError("VAR is empty; expected a folder for the state, such as var.")
    # Where a link leads to, or where we are, counts too: processes are given the whole path.
    try:
        whole = str(Path(text).resolve())
        whole.encode()
    except (OSError, RuntimeError, ValueError):
        raise StackError(f"VAR={text!r} is no path that can be used.") from None
    wrong = next((c for c in whole if c in UNUSABLE or not c.isprintable()), None)
    if wrong is not None:
        raise StackError(f"VAR={whole!r} contains {wrong!r}; choose a path without it.")
    return Path(text)


def free_port() -> int:
    """Return a port that nobody listens on, and that the system gives to nobody by itself."""
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(given.read_text().split()[0]) if given.exists() else 0
    others = range(10_000, first)
    for port in random.sample(others, k=min(50, len(others))):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def sole_stack_of(var: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it however this process ends."""
    taken = "A stack already runs on {var} (process {owner}): stop it, or choose another VAR."
    with _held(var / "lock", taken=taken):
        yield


@contextmanager
def sole_restart_of(var: Path) -> Iterator[None]:
    """Hold the lock of who replaces processes of its stack: two would end each other's new ones."""
    taken = "A restart of the stack on {var} is under way already (process {owner}): wait for it."
    with _held(var / "restart.lock", taken=taken):
        yield


@contextmanager
def _held(file: Path, *, taken: str) -> Iterator[None]:
    with open(file, "a+", opener=lambda path, flags: os.open(path, flags, 0o600)) as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            opened.seek(0)
            owner = opened.read() or "unknown"
            raise StackError(taken.format(var=file.parent, owner=owner)) from None
        opened.truncate(0)
        opened.write(str(os.getpid()))
        opened.flush()
        yield


def refuse_taken_port(host: str, *, port: int, name: str = PORT_OPTION) -> None:
    """Raise StackError if a port can't be listened on; `name` is what sets it."""
    _listen(host, port=port, name=name).close()


@contextmanager
def held_port(host: str, *, port: int) -> Iterator[int]:
    """Listen on the stack's port while the block runs, and yield the descriptor to inherit."""
    with closing(_listen(host, port=port, name=PORT_OPTION)) as listening:
        # supervisord closes lower descriptors in each program that it starts (`minfds`).
        inherited = fcntl.fcntl(listening, fcntl.F_DUPFD, 128)
        try:
            yield inherited
        finally:
            os.close(inherited)


def _listen(host: str, *, port: int, name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    # Connections of a previous run in TIME_WAIT don't count.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(4096)
    except OSError as error:
        listening.close()
        reason = "is taken" if error.errno == errno.EADDRINUSE else f"can't be used ({error})"
        raise StackError(
            f"Port {port} on {host} {reason}: choose another, e.g. {name}={port + 1}."
        ) from None
    return listening
