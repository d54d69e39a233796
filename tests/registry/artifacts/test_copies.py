"""What a host keeps of artifacts: bounded, and never taken from under a replica."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from core.errors import InsufficientStorage
from registry.artifacts.copies import Copies
from registry.artifacts.fetching import Fetcher
from tests.registry.artifacts.conftest import PlayedSource, ignored

MB = 1 << 20
CONTENTS = [bytes([number]) * (4 * MB) for number in range(4)]
FIRST, SECOND, THIRD, FOURTH = [hashlib.sha256(content).hexdigest() for content in CONTENTS]


@pytest.fixture
def source() -> PlayedSource:
    files = {hashlib.sha256(content).hexdigest(): content for content in CONTENTS}
    return PlayedSource(files=files)


def keep(fetcher: Fetcher, *digests: str) -> None:
    for number, digest in enumerate(digests):
        with fetcher.fetched(digest, tell=ignored) as path:
            os.utime(path, (number, number))


def kept(copies: Copies) -> set[str]:
    return {path.name for path in copies.folder.glob("??/*")}


def test_the_least_lately_used_gives_way(fetcher: Fetcher, copies: Copies) -> None:
    keep(fetcher, FIRST, SECOND)
    with fetcher.fetched(FIRST, tell=ignored):
        pass
    keep(fetcher, THIRD)
    assert kept(copies) == {FIRST, THIRD}
    assert copies.used_bytes == 8 * MB


def test_one_in_use_stays_whatever_comes(fetcher: Fetcher, copies: Copies) -> None:
    keep(fetcher, FIRST, SECOND)
    with copies.held(FIRST) as path:
        keep(fetcher, THIRD, FOURTH)
        assert path.exists()
        assert kept(copies) == {FIRST, FOURTH}


def test_where_all_are_in_use_it_says_so(
    fetcher: Fetcher, copies: Copies, counted: Callable[[str], int]
) -> None:
    keep(fetcher, FIRST, SECOND)
    with ExitStack() as users:
        for digest in (FIRST, SECOND):
            users.enter_context(copies.held(digest))
        with pytest.raises(
            InsufficientStorage, match="No room for 4 MB: replicas of this host use 8 of the 10 MB"
        ):
            keep(fetcher, THIRD)
    assert counted("failures") == 1
    keep(fetcher, THIRD)
    assert THIRD in kept(copies)


def test_one_that_can_never_fit_evicts_nothing(fetcher: Fetcher, source: PlayedSource) -> None:
    keep(fetcher, FIRST)
    large = b"x" * (11 * MB)
    digest = hashlib.sha256(large).hexdigest()
    source.files[digest] = large
    with pytest.raises(InsufficientStorage, match="10 MB of artifacts at most"):
        keep(fetcher, digest)
    assert kept(fetcher.copies) == {FIRST}


def test_what_is_still_arriving_counts_as_all_of_it(fetcher: Fetcher, copies: Copies) -> None:
    keep(fetcher, FIRST)
    part = copies.begin_part(SECOND, size=6 * MB)
    assert copies.used_bytes == 10 * MB
    with part.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        keep(fetcher, THIRD)
        assert part.exists()
        assert kept(copies) == {THIRD}


def test_what_nobody_goes_on_with_gives_way_too(fetcher: Fetcher, copies: Copies) -> None:
    part = copies.begin_part(FIRST, size=8 * MB)
    os.utime(part, (0, 0))
    keep(fetcher, SECOND)
    assert not part.exists()
    assert kept(copies) == {SECOND}


def test_room_on_the_disk_stays_free(fetcher: Fetcher, copies: Copies) -> None:
    disk = os.statvfs(copies.folder.parent)
    reserve = disk.f_bavail * disk.f_frsize
    full = Copies(folder=copies.folder, max_bytes=copies.max_bytes, reserve=2 * reserve)
    with pytest.raises(InsufficientStorage, match="its disk has 0 MB left for artifacts"):
        full.begin_part(FIRST, size=1)
