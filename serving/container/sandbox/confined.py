"""Runs a program that may have been written by anybody where it finds none of the stack's secrets.

``confined.py CONFINEMENT PROGRAM ...`` gives up every privilege and replaces itself by the program
(``-m MODULE ...`` runs a module of Python in this process instead). By Landlock the kernel lets it
read and write what its confinement names, look into and signal no process but those that it has
started, and bind no TCP port but one that the kernel hands out. A filter of system calls
(`sandbox.syscalls`) keeps it from other ways to its host. What the kernel lacks it says.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import resource
import runpy
import struct
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parents[2]
# The packages in it that a container is made of.
OF_A_CONTAINER = ("container", "rpc")
# All else of the environment is nothing for a model to know.
PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES"),
)

# Where the stack keeps its files.
OURS = ("CLIPPER_VAR", "CLIPPER_RUN_DIR")
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/nix", "/proc", "/sys")
# Files of /etc that programs look up; the rest may hold somebody's passwords.
SYSTEM_FILES = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "timezone"),
    *("passwd", "group", "nsswitch.conf", "hosts", "host.conf", "resolv.conf", "services"),
    *("ssl/certs", "ssl/openssl.cnf", "ca-certificates", "fonts", "mime.types", "OpenCL"),
    *("python3", "java"),
)
# The confinement of a process that a confined one starts.
ALREADY_CONFINED = ""
# The exit code where there is no such program, or it is none: a shell's.
CANNOT_START = 126
WITHOUT_LANDLOCK = "this kernel has no Landlock: files are not kept from the model"
WITHOUT_MOUNTS = "shared memory and paths of sockets are not kept from the model on this machine"
WITHOUT_FILTER = "system calls are not kept from the model on this machine"
# Bounds the number of sockets, and so the kernel memory of their buffers.
MOST_DESCRIPTORS = 4096
DEVICES = ("null", "zero", "full", "random", "urandom", "dri", "kfd")
_CREATE_RULESET = 444


class Confinement(NamedTuple):
    """The folders, files and system calls that a confined program may use.

    `hide` are the stack's folders if it is empty. `sockets`: it may open Unix sockets. `modes`: it
    may change the modes of its user's files. `keeps_user`: it stays root if the stack is. `python`:
    it may read this Python and its packages. `shared_mb` limits its files in shared memory.
    """

    write: Sequence[Path | str]
    read: Sequence[Path | str] = ()
    hide: Sequence[Path | str] = ()
    sockets: bool = False
    modes: bool = False
    keeps_user: bool = False
    python: bool = True
    shared_mb: int | None = None

    def encoded(self) -> str:
        hide = self.hide or [os.environ[name] for name in OURS if os.environ.get(name)]
        return json.dumps(self._replace(hide=hide)._asdict(), default=str)

    @classmethod
    def decoded(cls, text: str) -> Confinement:
        return cls(**json.loads(text))


def scrubbed_environment(base: Mapping[str, str], *, home: Path) -> dict[str, str]:
    """Return the variables of `base` that a model may know; its home is `home`."""
    known = {name: base[name] for name in PASSED_ON if name in base}
    # Its output is read at once, even if it is killed.
    python = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    # Its user may have no name but this.
    return known | python | {"HOME": str(home), "TMPDIR": str(home), "USER": "model"}


def confined_command(
    program: Sequence[str], confinement: Confinement, *, other_python: Path | None = None
) -> list[str]:
    """Return the command that runs a program confined, in `other_python` if it is given."""
    this = ["-P", str(Path(__file__).resolve())]
    if other_python is not None:
        confinement = confinement._replace(python=False)
        program = [str(other_python), *this, ALREADY_CONFINED, *program]
    return [sys.executable, *this, confinement.encoded(), *program]


def has_landlock() -> bool:
    """Return whether files and other processes can be kept from a model on this machine."""
    return sys.platform == "linux" and _landlock_version(ctypes.CDLL(None)) >= 1


def deny_new_privileges() -> None:
    """Keep this process and its children from gaining privileges (Linux).

    The launcher knows the processes of models by it, whose environment doesn't name the stack.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        _check(libc.prctl(38, 1, 0, 0, 0))  # PR_SET_NO_NEW_PRIVS


def confine(confinement: Confinement) -> None:
    """Confine this process, whose only thread is this one, for good; say what can't be done."""
    if sys.platform != "linux":
        print(WITHOUT_LANDLOCK, file=sys.stderr)
        return
    write, read, hide = ([Path(path) for path in paths] for paths in confinement[:3])
    # Not at the top, as this file may be run before the project can be imported; nor later, when
    # this Python may be one that it can't read any more.
    from serving.container.sandbox.mounts import take_own_mounts
    from serving.container.sandbox.own_user import drop_capabilities, has_own_user, take_own_user
    from serving.container.sandbox.syscalls import filter_calls

    libc = ctypes.CDLL(None, use_errno=True)
    deny_new_privileges()
    # A build links files of one folder in another one, which mounts would keep it from.
    if not confinement.modes:
        keep, shared_mb = [*write, *read], confinement.shared_mb
        if not take_own_mounts(libc, hide=hide, keep=keep, shared_mb=shared_mb) and hide:
            print(WITHOUT_MOUNTS, file=sys.stderr)
    readable = readable_paths(extra=read, hide=hide, python=confinement.python)
    version = _landlock_version(libc)
    if version >= 1:
        _restrict(libc, version=version, write=write, readable=list(readable))
    else:
        print(WITHOUT_LANDLOCK, file=sys.stderr)
    if not confinement.keeps_user:
        take_own_user(libc, write=write)
    is_own_user = has_own_user(libc)
    # The kernel then keeps the files of others from it.
    modes = confinement.modes or is_own_user
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not 0 <= hard < MOST_DESCRIPTORS:
        soft = soft if 0 <= soft < MOST_DESCRIPTORS else MOST_DESCRIPTORS
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, MOST_DESCRIPTORS))
    if not filter_calls(libc, sockets=confinement.sockets, modes=modes, truncate=version >= 3):
        print(WITHOUT_FILTER, file=sys.stderr)
    drop_capabilities(libc, is_own_user=is_own_user)
    libc.prctl(4, int(version >= 1), 0, 0, 0)  # PR_SET_DUMPABLE


def readable_paths(*, extra: Sequence[Path], hide: Sequence[Path], python: bool) -> Iterator[Path]:
    """Yield the paths that a confined program may read; none lies in, or holds, a hidden path."""
    ours = [sys.prefix, sys.base_prefix, sys.exec_prefix, *filter(None, sys.path)]
    known = [Path(path) for path in (*SYSTEM, *(ours if python else ()))]
    known += [Path("/etc", name) for name in SYSTEM_FILES]
    for folder in map(Path, filter(None, os.environ.get("PATH", "").split(os.pathsep))):
        known.append(folder)
        # Not by is_dir(), which fails where the folder can't be searched.
        if folder.name == "bin" and os.path.isdir(folder.parent / "lib"):  # noqa: PTH112
            known.append(folder.parent)
    project = PACKAGE.parent
    resolved = dict.fromkeys(path.resolve() for path in known)
    # A checkout may hold a stack's files: only what a container is made of is readable there.
    installed = project == Path(sysconfig.get_path("purelib")).resolve()
    checkout = () if installed else (project, *project.parents)
    kept = [path for path in resolved if path not in checkout]
    hidden = [path.resolve() for path in hide]
    for path in (*kept, PACKAGE / "__init__.py", *(PACKAGE / name for name in OF_A_CONTAINER)):
        yield from _without(path, hidden)
    yield from extra


def main() -> None:
    _, confinement, *program = sys.argv
    # By path, as a confined process can't search their folder.
    for name in ("serving", *(f"serving.{name}" for name in OF_A_CONTAINER)):
        folder = PACKAGE.parent.joinpath(*name.split("."))
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None and spec.loader is not None  # noqa: S101, PT018  # it is a file
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    if confinement != ALREADY_CONFINED:
        confine(Confinement.decoded(confinement))
    if program[0] != "-m":
        try:
            os.execv(program[0], program)  # noqa: S606  # which program is the caller's word
        except OSError as error:
            print(f"{program[0]}: {error.strerror}", file=sys.stderr)
            sys.exit(CANNOT_START)
    sys.argv = program[1:]
    runpy.run_module(program[1], run_name="__main__", alter_sys=True)


def _without(path: Path, hidden: Sequence[Path]) -> Iterator[Path]:
    """Yield the path, or what is in it but for the hidden paths."""
    if any(path == other or path.is_relative_to(other) for other in hidden):
        return
    if not any(other.is_relative_to(path) for other in hidden):
        yield path
        return
    with suppress(OSError):
        for inner in path.iterdir():
            if not inner.is_symlink():
                yield from _without(inner, hidden)


def _restrict(
    libc: ctypes.CDLL, *, version: int, write: Sequence[Path], readable: Sequence[Path]
) -> None:
    # All rights to files of this version; to bind TCP ports; abstract sockets and signals.
    every = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(_CREATE_RULESET, struct.pack("=QQQ", every, 1, 3), size, 0)
    _check(ruleset)
    read = 1 << 0 | 1 << 2 | 1 << 3  # execute, read a file, read a folder
    use = read | 1 << 1 | 1 << 15  # write to a file, ioctl
    granted = [(path, read) for path in readable]
    granted += [(path, every) for path in (*write, Path("/dev/shm"))]  # noqa: S108
    nodes = [Path("/dev", name) for name in DEVICES] + list(Path("/dev").glob("nvidia*"))
    for path, rights in granted + [(path, use) for path in nodes]:
        _allow(libc, ruleset, path=path, rights=rights & every)
    if version >= 4:
        # landlock_add_rule: port 0 stands for those that the kernel hands out.
        _check(libc.syscall(445, ruleset, 2, struct.pack("=QQ", 1, 0), 0))
    _check(libc.syscall(446, ruleset, 0))  # landlock_restrict_self
    os.close(ruleset)


def _landlock_version(libc: ctypes.CDLL) -> int:
    """Return a number less than 1 if there is no Landlock, or it is off."""
    return int(libc.syscall(_CREATE_RULESET, None, 0, 1))


def _allow(libc: ctypes.CDLL, ruleset: int, *, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this system
    try:
        if not path.is_dir():  # execute, write, read, truncate, ioctl
            rights &= 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
        _check(libc.syscall(445, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0))
    finally:
        os.close(descriptor)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
