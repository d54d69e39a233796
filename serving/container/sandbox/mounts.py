"""Mounts of a model's own: an empty, bounded /dev/shm, and covers over the stack's folders.

Landlock keeps no program from a Unix socket by its path. Mounting takes root's right, or a user
namespace.
"""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_NO_SETUID, _NO_DEVICES, _BIND, _RECURSIVE, _PRIVATE = 2, 4, 4096, 16384, 1 << 18


def take_own_mounts(
    libc: ctypes.CDLL, *, hide: Sequence[Path], keep: Sequence[Path], shared_mb: int | None
) -> bool:
    """Cover the folders `hide` but for `keep`, and /dev/shm; return whether it could be done."""
    if libc.unshare(_NEW_MOUNTS) == 0:
        return _mount(libc, hide=hide, keep=keep, shared_mb=shared_mb)
    # There is no way back: another process tries it.
    if (pid := os.fork()) == 0:
        done = _mount_as_user(libc, hide=hide, keep=keep, shared_mb=shared_mb)
        os._exit(0 if done else 1)
    if os.waitpid(pid, 0)[1] != 0:
        return False
    return _mount_as_user(libc, hide=hide, keep=keep, shared_mb=shared_mb)


def used_bytes(pid: int) -> int:
    """Return what files in a process's own shared memory take; 0 if it has none of its own."""
    with suppress(OSError):  # it has ended, or is another user's
        folder = Path(f"/proc/{pid}/root{SHARED_MEMORY}")
        if folder.stat().st_dev != SHARED_MEMORY.stat().st_dev:
            usage = os.statvfs(folder)
            return (usage.f_blocks - usage.f_bfree) * usage.f_frsize
    return 0


def _mount_as_user(
    libc: ctypes.CDLL, *, hide: Sequence[Path], keep: Sequence[Path], shared_mb: int | None
) -> bool:
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW_MOUNTS | _NEW_USER) != 0:
        return False
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return False
    return _mount(libc, hide=hide, keep=keep, shared_mb=shared_mb)


def _mount(
    libc: ctypes.CDLL, *, hide: Sequence[Path], keep: Sequence[Path], shared_mb: int | None
) -> bool:
    def mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
        texts = (source.encode(), os.fsencode(target), kind.encode())
        if libc.mount(*texts, ctypes.c_ulong(flags), options.encode()) != 0:
            raise OSError(ctypes.get_errno(), f"{target} can't be mounted")

    harmless = _NO_SETUID | _NO_DEVICES
    try:
        mount("none", Path("/"), "none", _RECURSIVE | _PRIVATE, "")
        if SHARED_MEMORY.is_dir():
            size = "" if shared_mb is None else f",size={shared_mb}m"
            mount("tmpfs", SHARED_MEMORY, "tmpfs", harmless, f"mode=1777{size}")
        for folder in _outermost(hide):
            inside = {path: os.open(path, os.O_PATH) for path in _within(folder, keep)}
            mount("tmpfs", folder, "tmpfs", harmless, "mode=0711,size=64k")
            for path, descriptor in inside.items():
                source = Path(f"/proc/self/fd/{descriptor}")
                _make_place(path, is_folder=source.is_dir())
                mount(str(source), path, "none", _BIND | _RECURSIVE, "")
                os.close(descriptor)
    except OSError:
        return False
    return True


def _outermost(folders: Sequence[Path]) -> list[Path]:
    found = {folder.resolve() for folder in folders if folder.is_dir()}
    return [folder for folder in found if not found & set(folder.parents)]


def _within(folder: Path, paths: Sequence[Path]) -> Iterator[Path]:
    """Return the outermost existing paths within a folder."""
    found = {path.resolve() for path in paths if path.exists()}
    inside = {path for path in found if path.is_relative_to(folder)}
    return (path for path in inside if not inside & set(path.parents))


def _make_place(path: Path, *, is_folder: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_folder:
        path.mkdir(exist_ok=True)
    else:
        path.touch()
