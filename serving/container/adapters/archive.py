"""Unpacks uploaded zips, and makes the folders for them, which go with the process they are for."""

import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from serving.container.failures.container_errors import ArtifactInvalid, UnsafeArchive

PREFIX = "clipper-model-"
_NAME = re.compile(rf"{PREFIX}(\d+)-")


def unpack(packed: Path, *, into: Path, max_unpacked: int = 4 << 30) -> None:
    """Write the archive's files under into; refuse the whole archive for one unsafe member."""
    try:
        with zipfile.ZipFile(packed) as archive:
            members = archive.infolist()
            _check(members, max_unpacked=max_unpacked)
            left = max_unpacked
            for member in members:
                left -= _write(archive, member, into=into, limit=left)
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError) as error:
        raise ArtifactInvalid(f"expected a zip that can be unpacked: {error}") from error


def _check(members: list[zipfile.ZipInfo], *, max_unpacked: int) -> None:
    if len(members) > 10_000:
        raise UnsafeArchive(f"expected at most 10000 files in the zip, got {len(members)}")
    size = sum(member.file_size for member in members)
    if size > max_unpacked:
        raise UnsafeArchive(f"expected at most {max_unpacked} bytes unpacked, got {size}")
    for member in members:
        _check_member(member)


def _check_member(member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in member.orig_filename or not path.parts:
        raise UnsafeArchive(f"expected paths inside the zip, got {member.orig_filename!r}")
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnsafeArchive(f"expected files and folders in the zip, got a link: {path}")
    if member.flag_bits & 1:
        raise UnsafeArchive(f"expected no encrypted files in the zip, got {path}")


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, into: Path, limit: int) -> int:
    target = into / member.filename
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(member) as source, target.open("wb") as sink:
        # The sizes that an archive declares are claims: count what comes out.
        while chunk := source.read(1024 * 1024):
            written += len(chunk)
            if written > limit:
                raise UnsafeArchive(
                    f"expected at most {limit} more bytes unpacked: {member.filename}"
                )
            sink.write(chunk)
    return written


def new_folder() -> Path:
    """Make a folder for this process, and remove those of processes that were killed."""
    parent = Path(tempfile.gettempdir()).resolve()
    for folder in parent.glob(f"{PREFIX}*"):
        made_by = _NAME.match(folder.name)
        if made_by is not None and not _is_there(int(made_by[1])):
            shutil.rmtree(folder, ignore_errors=True)  # it removes no other user's, and no links
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))


@contextmanager
def kept_folder() -> Iterator[Path]:
    """Yield a new folder, which is removed if the block raises."""
    folder = new_folder()
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True  # another user's, or nobody's number
    return True
