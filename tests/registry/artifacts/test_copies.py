"""Copies of artifacts on a host: bounded, and never taken from under a replica."""

import hashlib
import os
from contextlib import ExitStack
from dataclasses import replace

import pytest

from core.errors import InsufficientStorage
from registry.artifacts.copies import Copies
from registry.artifacts.fetching import ArtifactFiles
from tests.registry.artifacts.conftest import PlayedSource, ignored

MB = 1 << 20
CONTENTS = [bytes([number]) * (4 * MB) for number in range(4)]
FIRST, SECOND, THIRD, FOURTH = [hashlib.sha256(content).hexdigest() for content in CONTENTS]


@pytest.fixture
def source() -> PlayedSource:
    files = {hashlib.sha256(content).hexdigest(): content for content in CONTENTS}
    return PlayedSource(files=files)


def keep(fetcher: ArtifactFiles, *digests: str) -> None:
    for number, digest in enumerate(digests):
        with fetcher.fetched(digest, tell=ignored) as path:
            os.utime(path, (number, number))


def kept(copies: Copies) -> set[str]:
    return {path.name for path in copies.folder.glob("??/*")}


def test_the_least_lately_used_gives_way(fetcher: ArtifactFiles, copies: Copies) -> None:
    keep(fetcher, FIRST, SECOND)
    with fetcher.fetched(FIRST, tell=ignored):
        pass
    keep(fetcher, THIRD)
    assert kept(copies) == {FIRST, THIRD}


def test_one_in_use_stays_whatever_comes(fetcher: ArtifactFiles, copies: Copies) -> None:
    keep(fetcher, FIRST, SECOND)
    with copies.held(FIRST) as path:
        keep(fetcher, THIRD, FOURTH)
        assert path.exists()
        assert kept(copies) == {FIRST, FOURTH}


def test_where_all_are_in_use_it_says_so(fetcher: ArtifactFiles, copies: Copies) -> None:
    keep(fetcher, FIRST, SECOND)
    with ExitStack() as users:
        for digest in (FIRST, SECOND):
            users.enter_context(copies.held(digest))
        with pytest.raises(InsufficientStorage, match="No room for 4 MB"):
            keep(fetcher, THIRD)
    keep(fetcher, THIRD)
    assert THIRD in kept(copies)


def test_one_that_can_never_fit_evicts_nothing(
    fetcher: ArtifactFiles, source: PlayedSource
) -> None:
    keep(fetcher, FIRST)
    large = b"x" * (11 * MB)
    digest = hashlib.sha256(large).hexdigest()
    source.files[digest] = large
    with pytest.raises(InsufficientStorage, match="10 MB of artifacts at most"):
        keep(fetcher, digest)
    assert kept(fetcher.copies) == {FIRST}


def test_a_part_counts_and_goes_unless_its_fetch_goes_on(
    fetcher: ArtifactFiles, copies: Copies
) -> None:
    with copies.locked_part(FIRST) as part:
        assert part is not None
        os.truncate(part, 8 * MB)
        with copies.locked_part(FIRST) as another:
            assert another is None
        with pytest.raises(InsufficientStorage):
            keep(fetcher, SECOND)
    keep(fetcher, SECOND)
    assert kept(copies) == {SECOND}


def test_room_on_the_disk_stays_free(copies: Copies) -> None:
    copies.folder.mkdir()
    disk = os.statvfs(copies.folder)
    full = replace(copies, reserve=2 * disk.f_bavail * disk.f_frsize)
    with pytest.raises(InsufficientStorage):
        full.make_room(1)
