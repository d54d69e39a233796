"""Locks between processes by files: held once, shared by many, and no file is left of them."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.file_lock import FileLock, LockTimeout, one_of, only_one, taken


def test_the_file_goes_with_the_lock_and_the_next_one_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with taken(path) as first, taken(path) as second:
        assert (first, second) == (True, False)
        assert path.exists()
    assert not path.exists()
    with taken(path) as again:
        assert again


def test_who_shares_it_keeps_it_from_whoever_wants_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    one, other = FileLock.take(path, shared=True), FileLock.take(path, shared=True)
    assert one is not None
    assert other is not None
    one.release()
    with taken(path) as held:
        assert not held
    other.release()
    with taken(path) as held:
        assert held


def test_one_of_several_is_enough(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    with one_of(paths, until=0.0), one_of(paths, until=0.0), pytest.raises(LockTimeout):
        one_of(paths, until=0.0).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_no_two_have_it_though_its_file_is_removed_and_made_again(tmp_path: Path) -> None:
    inside: list[int] = []

    def contend(_: int) -> int:
        most = 0
        for _ in range(50):
            with only_one(tmp_path / "lock", until=time.monotonic() + 30.0):
                inside.append(1)
                most = max(most, len(inside))
                inside.pop()
        return most

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(contend, range(2))) == [1, 1]
