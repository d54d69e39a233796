"""Mounts of a model's own: an empty, bounded /dev/shm, and covers over the stack's folders.

Landlock keeps no program from a Unix socket by its path. Mounting takes root's right, or a user
namespace.
"""

import ctypes
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


def take_own_mounts(
    libc: ctypes.CDLL, *, hide: Sequence[Path], keep: Sequence[Path], shared_mb: int | None
) -> bool:
    """Cover the folders `hide` but for `keep`, and /dev/shm; return whether it could be done."""

    user, group = os.geteuid(), os.getegid()

    def cover(*, as_user: bool) -> bool:
        with suppress(OSError):
            if as_user:
                Path("/proc/self/setgroups").write_text("deny")
                Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
                Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
            _mount(libc, hide=hide, keep=keep, shared_mb=shared_mb)
            return True
        return False

    def cover_as_user() -> bool:
        # CLONE_NEWNS and CLONE_NEWUSER
        return libc.unshare(0x20000 | 0x10000000) == 0 and cover(as_user=True)

    if libc.unshare(0x20000) == 0:
        return cover(as_user=False)
    # There is no way back: another process tries it.
    if (pid := os.fork()) == 0:
        os._exit(0 if cover_as_user() else 1)
    return os.waitpid(pid, 0)[1] == 0 and cover_as_user()


def used_bytes(pid: int) -> int:
    """Return what files in a process's own shared memory take; 0 if it has none of its own."""
    with suppress(OSError):  # it has ended, or is another user's
        folder = Path(f"/proc/{pid}/root{SHARED_MEMORY}")
        if folder.stat().st_dev != SHARED_MEMORY.stat().st_dev:
            usage = os.statvfs(folder)
            return (usage.f_blocks - usage.f_bfree) * usage.f_frsize
    return 0


def _mount(
    libc: ctypes.CDLL, *, hide: Sequence[Path], keep: Sequence[Path], shared_mb: int | None
) -> None:
    def mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
        texts = (source.encode(), os.fsencode(target), kind.encode())
        if libc.mount(*texts, ctypes.c_ulong(flags), options.encode()) != 0:
            raise OSError(ctypes.get_errno(), f"{target} can't be mounted")

    harmless = 2 | 4  # MS_NOSUID, MS_NODEV
    recursive = 1 << 14
    mount("none", Path("/"), "none", recursive | 1 << 18, "")  # MS_PRIVATE
    if SHARED_MEMORY.is_dir():
        size = "" if shared_mb is None else f",size={shared_mb}m"
        mount("tmpfs", SHARED_MEMORY, "tmpfs", harmless, f"mode=1777{size}")
    for folder in _outermost(hide):
        inside = [path for path in keep if path.resolve().is_relative_to(folder)]
        kept = {path: os.open(path, os.O_PATH) for path in _outermost(inside)}
        mount("tmpfs", folder, "tmpfs", harmless, "mode=0711,size=64k")
        for path, descriptor in kept.items():
            source = Path(f"/proc/self/fd/{descriptor}")
            path.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                path.mkdir(exist_ok=True)
            else:
                path.touch()
            mount(str(source), path, "none", recursive | 1 << 12, "")  # MS_BIND
            os.close(descriptor)


def _outermost(paths: Sequence[Path]) -> list[Path]:
    """Return those that exist and lie in no other one."""
    found = {path.resolve() for path in paths if path.exists()}
    return [path for path in found if not found & set(path.parents)]
