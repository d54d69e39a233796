"""Runs a program that may have been written by anybody where it finds none of the stack's secrets.

``confined.py CONFINEMENT PROGRAM ...`` gives up every privilege and replaces itself by the program
(``-m MODULE ...`` runs a module of Python in this process instead). By Landlock the kernel then
allows it:

- to read the operating system, Python with its packages, and the `read` paths, never what lies in
  a `hide` path; to write in the `write` folders and in shared memory alone;
- to look into, trace or signal no process but those that it has started itself;
- to bind no TCP port that it chooses itself, only one that the kernel hands out.

A filter of system calls (`sandbox.syscalls`) keeps it from other ways to its host: Unix sockets,
namespaces, leaving its group of processes, limits and priorities of other processes, and modes,
owners, times and attributes of files.

Elsewhere than on Linux, or where the kernel has no Landlock, it says so and takes away what it can.
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
MOST_DESCRIPTORS = 4096
DEVICES = ("null", "zero", "full", "random", "urandom", "dri", "kfd")

_PR_CAPBSET_DROP = 24
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_LAST_CAPABILITY = 63
_PR_CAP_AMBIENT, _RAISE = 47, 2
_CAPABILITY_VERSION_3 = 0x20080522
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read a file, read a folder
_USE = _READ | 1 << 1  # and write to a file
_SCOPE_ALL = 1 << 0 | 1 << 1  # abstract sockets and signals stay within
_BIND_TCP = 1 << 0
_PATH_BENEATH, _NET_PORT = 1, 2
# How long a ruleset's attributes are since that version: files, ports, scopes.
_ATTRIBUTES_SINCE = ((6, 24), (4, 16), (1, 8))
# Bit after the last right that a version of Landlock knows.
_RIGHTS_UNTIL = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_FILE_RIGHTS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15


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
        _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def confine(confinement: Confinement) -> None:
    """Confine this process, whose only thread is this one, for good; say what can't be done."""
    if sys.platform != "linux":
        print(WITHOUT_LANDLOCK, file=sys.stderr)
        return
    write, read, hide = ([Path(path) for path in paths] for paths in confinement[:3])
    # Not at the top, as this file may be run before the project can be imported; nor later, when
    # this Python may be one that it can't read any more.
    from serving.container.sandbox.mounts import take_own_mounts
    from serving.container.sandbox.own_user import CAP_DAC_READ_SEARCH, has_own_user, take_own_user
    from serving.container.sandbox.syscalls import filter_calls

    libc = ctypes.CDLL(None, use_errno=True)
    deny_new_privileges()
    # A build links files of one folder in another one, which mounts would keep it from.
    if not confinement.modes:
        shared_mb = confinement.shared_mb
        own = take_own_mounts(libc, hide=hide, keep=[*write, *read], shared_mb=shared_mb)
        if hide and not own:
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
    _bound_descriptors()
    if not filter_calls(libc, sockets=confinement.sockets, modes=modes, truncate=version >= 3):
        print(WITHOUT_FILTER, file=sys.stderr)
    _drop_capabilities(libc, kept=CAP_DAC_READ_SEARCH if is_own_user else None)
    libc.prctl(_PR_SET_DUMPABLE, int(version >= 1), 0, 0, 0)


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
    _import_package()
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


def _import_package() -> None:
    """Import a container's packages by path: a confined process can't search their folder."""
    _import_from(PACKAGE, name=PACKAGE.name)
    for name in OF_A_CONTAINER:
        _import_from(PACKAGE / name, name=f"{PACKAGE.name}.{name}")


def _import_from(folder: Path, *, name: str) -> None:
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018  # it is a file
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


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
    every = (1 << _RIGHTS_UNTIL.get(version, 16)) - 1
    attributes = struct.pack("=QQQ", every, _BIND_TCP, _SCOPE_ALL)
    size = next(size for since, size in _ATTRIBUTES_SINCE if version >= since)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, size, 0)
    _check(ruleset)
    granted = [(path, _READ) for path in readable]
    granted += [(path, every) for path in (*write, Path("/dev/shm"))]  # noqa: S108
    nodes = [Path("/dev", name) for name in DEVICES] + list(Path("/dev").glob("nvidia*"))
    granted += [(path, _USE | every & 1 << 15) for path in nodes]
    for path, rights in granted:
        _allow(libc, ruleset, path=path, rights=rights & every)
    if version >= 4:
        # Port 0 stands for those that the kernel hands out.
        rule = struct.pack("=QQ", _BIND_TCP, 0)
        _check(libc.syscall(_ADD_RULE, ruleset, _NET_PORT, rule, 0))
    _check(libc.syscall(_RESTRICT_SELF, ruleset, 0))
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
        if not path.is_dir():
            rights &= _FILE_RIGHTS
        rule = struct.pack("=Qi", rights, descriptor)
        _check(libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


def _bound_descriptors() -> None:
    """Bound the number of sockets, and so the kernel memory of their buffers."""
    most, hard = (
        limit if 0 <= limit < MOST_DESCRIPTORS else MOST_DESCRIPTORS
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _drop_capabilities(libc: ctypes.CDLL, *, kept: int | None) -> None:
    """Drop all capabilities but this one."""
    for capability in {*range(_LAST_CAPABILITY + 1)} - {kept}:
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for those that nobody has
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    mask = 0 if kept is None else 1 << kept
    _check(libc.capset(header, struct.pack("=6I", mask, mask, mask, 0, 0, 0)))
    if kept is not None:
        _check(libc.prctl(_PR_CAP_AMBIENT, _RAISE, kept, 0, 0))


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
