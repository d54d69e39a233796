"""Fetching an artifact onto a host: verified, resumed, once for all who want it."""

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import FetchFailed, InsufficientStorage, NotFound
from registry.artifacts.artifact_sources import SourceFailed
from registry.artifacts.copies import Copies
from registry.artifacts.fetching import ArtifactFiles, Fetching
from tests.registry.artifacts.conftest import CHUNK, CONTENT, DIGEST, PlayedSource, ignored
from tests.small_disk import small_disk

Make = Callable[..., ArtifactFiles]


def fetch(fetcher: ArtifactFiles, digest: str = DIGEST) -> bytes:
    with fetcher.fetched(digest, tell=ignored) as path:
        assert path.stat().st_mode & 0o777 == 0o400
        return path.read_bytes()


def part_of(copies: Copies) -> Path:
    """The folder is there, the part not yet."""
    part = copies.part_of(DIGEST)
    part.parent.mkdir(parents=True)
    return part


def test_it_is_fetched_once_and_then_lies_there(
    fetcher: ArtifactFiles, source: PlayedSource
) -> None:
    assert fetch(fetcher) == CONTENT
    assert fetch(fetcher) == CONTENT
    assert source.asked == [0]


def test_a_break_is_gone_on_from(fetcher: ArtifactFiles, source: PlayedSource) -> None:
    source.breaks = [3 * CHUNK, 7 * CHUNK]
    assert fetch(fetcher) == CONTENT
    assert source.asked == [0, 3 * CHUNK, 7 * CHUNK]


def test_what_one_process_began_the_next_one_goes_on_with(
    make_fetcher: Make, source: PlayedSource, copies: Copies
) -> None:
    class Killed(BaseException): ...

    def killed() -> None:
        raise Killed

    source.while_sending = killed
    with pytest.raises(Killed):
        fetch(make_fetcher(source))
    assert not copies.path_of(DIGEST).exists()

    other = PlayedSource()
    assert fetch(make_fetcher(other)) == CONTENT
    assert other.asked == [CHUNK]


def test_all_of_it_under_no_name_yet_is_not_sent_again(
    fetcher: ArtifactFiles, source: PlayedSource, copies: Copies
) -> None:
    part_of(copies).write_bytes(CONTENT)
    assert fetch(fetcher) == CONTENT
    assert source.asked == []


def test_wrong_bytes_are_refused_and_fetched_again_and_counted(
    make_fetcher: Make, copies: Copies
) -> None:
    tampered = PlayedSource(files={DIGEST: b"x" + CONTENT[1:]}, name="tampered")
    honest = PlayedSource()
    assert fetch(make_fetcher(tampered, honest)) == CONTENT
    assert (tampered.asked, honest.asked) == ([0], [0])


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT + b"x", b""])
def test_a_source_that_always_sends_wrong_bytes_is_given_up(
    make_fetcher: Make, copies: Copies, content: bytes
) -> None:
    tampered = PlayedSource(files={DIGEST: content}, name="tampered")
    with pytest.raises(FetchFailed, match="tampered"):
        fetch(make_fetcher(tampered))
    assert not copies.path_of(DIGEST).exists()


def test_two_at_once_are_one_fetch(make_fetcher: Make, source: PlayedSource) -> None:
    sending, waited = threading.Event(), threading.Event()

    def hold() -> None:
        sending.set()
        assert waited.wait(20)

    source.while_sending = hold

    def second() -> bytes:
        fetcher = make_fetcher(source)
        with fetcher.fetched(DIGEST, tell=lambda _: waited.set()) as path:
            return path.read_bytes()

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(fetch, make_fetcher(source))
        assert sending.wait(20)
        other = threads.submit(second)
        assert (first.result(20), other.result(20)) == (CONTENT, CONTENT)
    assert source.asked == [0]


def test_where_one_source_lacks_it_another_is_asked(make_fetcher: Make) -> None:
    assert fetch(make_fetcher(PlayedSource(files={}), PlayedSource())) == CONTENT
    with pytest.raises(NotFound):
        fetch(make_fetcher(PlayedSource(files={}), PlayedSource(files={}, name="other")), "0" * 64)


def test_a_source_from_which_nothing_comes_is_given_up_with_its_words(
    fetcher: ArtifactFiles, source: PlayedSource
) -> None:
    source.faults = [SourceFailed("connection refused")] * 100
    with pytest.raises(FetchFailed, match="played: connection refused"):
        fetch(fetcher)


def test_what_tell_raises_ends_it(fetcher: ArtifactFiles, copies: Copies) -> None:
    class NotWanted(Exception): ...

    def told(fetching: Fetching) -> None:
        if fetching.arrived:
            raise NotWanted

    with pytest.raises(NotWanted), fetcher.fetched(DIGEST, tell=told):
        pass
    assert copies.part_of(DIGEST).exists()


def test_who_waits_for_another_process_waits_for_a_time(
    make_fetcher: Make, source: PlayedSource, copies: Copies
) -> None:
    sending, over = threading.Event(), threading.Event()

    def hold() -> None:
        sending.set()
        assert over.wait(20)

    source.while_sending = hold
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(fetch, make_fetcher(source))
        assert sending.wait(20)
        with pytest.raises(FetchFailed, match="Another process of this host"):
            fetch(make_fetcher(source, within_s=0.3))
        over.set()
        assert first.result(20) == CONTENT


def test_one_that_comes_too_slowly_is_given_up_and_gone_on_with_later(
    make_fetcher: Make, source: PlayedSource
) -> None:
    with pytest.raises(FetchFailed, match="took over 0 s"):
        fetch(make_fetcher(source, within_s=0.0))
    assert fetch(make_fetcher(source)) == CONTENT
    assert source.asked == [0, CHUNK]


def test_a_folder_that_nothing_can_be_kept_in_is_named_and_counted(
    fetcher: ArtifactFiles, copies: Copies
) -> None:
    part_of(copies).mkdir()
    with pytest.raises(FetchFailed, match="This host can't keep the artifact: "):
        fetch(fetcher)


def test_a_lock_whose_holder_was_killed_is_nobodys(fetcher: ArtifactFiles, copies: Copies) -> None:
    holder = multiprocessing.get_context("fork").Process(
        target=_die_fetching, args=(fetcher, copies), daemon=True
    )
    holder.start()
    holder.join(20)
    assert holder.exitcode == 9
    assert copies.part_of(DIGEST).exists()
    assert fetch(fetcher) == CONTENT


def _die_fetching(fetcher: ArtifactFiles, copies: Copies) -> None:
    import os

    with fetcher.fetched(DIGEST, tell=lambda _: os._exit(9)):
        pass


def test_a_full_disk_says_so_and_leaves_nothing_behind(make_fetcher: Make) -> None:
    with small_disk(megabytes=4) as disk:
        copies = Copies(folder=disk.path / "copies", max_bytes=100 << 20)
        fetcher = make_fetcher(PlayedSource(), copies=copies)
        disk.fill()
        with pytest.raises(InsufficientStorage, match="0 MB left"):
            fetch(fetcher)
        disk.free()

        filling = PlayedSource(while_sending=lambda: disk.fill() if _fits(disk.path) else None)
        with pytest.raises(InsufficientStorage, match="full"):
            fetch(make_fetcher(filling, copies=copies))
        disk.free()
        assert not list(copies.folder.glob("??/*"))
        assert fetch(fetcher) == CONTENT


def _fits(path: Path) -> bool:
    return not (path / "ballast").exists()
