"""Where one stack lives: its folders, its port and the files it keeps."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from .errors import StackError

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"

# The kernel takes 107 bytes (103 on macOS) for the path of a Unix socket.
LONGEST_SOCKET_PATH = 99
# Room for "/" and the longest name in it: a replica's, which ends in an id.
LONGEST_SOCKET_NAME = 50

# Characters that stand for themselves in a URL.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~+-]+")

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One stack's place on this machine; two of them differ in `var`, so in everything."""

    var: Path
    run_dir: Path
    host: str
    port: int

    @property
    def dialled(self) -> str:
        """Where this machine reaches it: an address that stands for all is no place to dial."""
        return {"0.0.0.0": HOST, "::": "::1"}.get(self.host, self.host)

    @property
    def url(self) -> str:
        host = f"[{self.dialled}]" if ":" in self.dialled else self.dialled
        return f"http://{host}:{self.port}"

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @property
    def temporary(self) -> Path:
        """Where replicas unpack models: what a killed one left there goes at the next start."""
        return self.var / "tmp"

    @property
    def redis_data(self) -> Path:
        return self.var / "redis"

    @property
    def redis_socket(self) -> Path:
        return self.run_dir / "redis.sock"

    @property
    def redis_config(self) -> Path:
        return self.run_dir / "redis.conf"

    @property
    def redis_password(self) -> Path:
        return self.var / "redis_password"

    @property
    def control_password(self) -> Path:
        """For supervisord and the masters: a model may run as the same user."""
        return self.var / "control_password"

    @property
    def secret_key(self) -> Path:
        return self.var / "secret_key"

    @property
    def environment_script(self) -> Path:
        return self.var / "env.sh"

    @property
    def demo(self) -> Path:
        return self.var / "demo.json"


def layout_of(var: Path, *, port: int, host: str = HOST) -> Layout:
    var = Path(os.path.realpath(var))
    return Layout(var=var, run_dir=run_dir_of(var), host=host, port=port)


def run_dir_of(var: Path) -> Path:
    """The folder for sockets: inside `var`, or a short private one.

    That is where the path is too long, or has what means something else in the URL of a socket.
    """
    inside = var / "run"
    fits = len(os.fsencode(inside)) + LONGEST_SOCKET_NAME <= LONGEST_SOCKET_PATH
    if fits and PLAIN_PATH.fullmatch(str(inside)):
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
        var.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"Can't make the folder {var} for the state: {error.strerror}.") from error
    # A folder with other things in it may be anybody's, the home folder say: its mode stays.
    try:
        if not any(var.iterdir()):
            make_private(var)
    except OSError as error:
        raise StackError(f"Can't use the folder {var} for the state: {error.strerror}.") from error


def make_private(folder: Path) -> None:
    """Make `folder` readable by this user alone; refuse one that somebody else put there first."""
    folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise StackError(f"{folder} is not a folder of this user; remove it or choose another VAR.")
    folder.chmod(PRIVATE_FOLDER)


def remove_run_dir(layout: Layout) -> None:
    """Of a stack that has ended: nothing in there outlives it, and outside `var` it would litter.

    Only this stack's own folder, and only while it is still a private one of this user.
    """
    if layout.run_dir.parent != layout.var and layout.run_dir.exists():
        make_private(layout.run_dir)
        shutil.rmtree(layout.run_dir)


def keep_secret(file: Path) -> str:
    """What `file` holds, made on the first start: what it signs or opens outlives a restart."""
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE)
    except FileExistsError:
        file.chmod(PRIVATE_FILE)
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
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
    draft.replace(file)
