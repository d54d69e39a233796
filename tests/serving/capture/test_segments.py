"""Bodies leave the database for files: none is lost, what is erased is in no file."""

import gzip
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F
from django.db.models.signals import post_save
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from core.errors import Conflict, InsufficientStorage
from registry.artifacts.artifact_store import ArtifactStore
from registry.models import Application
from registry.services import Actor
from serving.capture.drain import prune_captured
from serving.capture.models import CapturedInput, CapturedSegment
from serving.capture.problem import problem_now
from serving.capture.segments import (
    FEWEST_ROWS,
    MOST_ROWS,
    SPAN,
    WAIT,
    SegmentUnreadable,
    body_of,
    keep_in_files,
    ripe,
)
from serving.capture.services import drop_set, erase_captured, keep_as_set
from tests.serving.capture.test_drain import capture

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("server_redis")]
BY = Actor.of_command("test")
COUNT = FEWEST_ROWS


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.CLIPPER_ARTIFACTS = tmp_path / "artifacts"
    settings.CLIPPER_MIN_FREE_BYTES = 0
    return tmp_path / "artifacts"


@pytest.fixture
def digits(redis_socket: str) -> Application:
    """An application with rows that have waited long enough."""
    made = Application.objects.create(name="digits", input_type="doubles", pk=1)
    capture(redis_socket, *[f"[{n},\n 0.5]" for n in range(COUNT - 1)])
    capture(redis_socket, '["ada lovelace"]', key="ada")
    age(WAIT * 2)
    return made


def age(by: timedelta, **which: Any) -> None:
    CapturedInput.objects.filter(**which).update(at=F("at") - by)


def inputs() -> list[str]:
    return [bytes(body_of(row).input).decode() for row in CapturedInput.objects.order_by("pk")]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*/*") if path.is_file()]


def test_a_file_has_a_line_for_each_row_and_rows_read_as_before(
    digits: Application, folder: Path
) -> None:
    before = inputs()
    assert keep_in_files() == COUNT
    assert not CapturedInput.objects.exclude(body=b"").exists()
    [file] = files(folder)
    lines = gzip.decompress(file.read_bytes()).splitlines()
    assert len(lines) == CapturedSegment.objects.get().rows == COUNT
    assert inputs() == [text.replace("\n", " ") for text in before]
    assert keep_in_files() == 0


def test_few_rows_stay_in_the_database(digits: Application, folder: Path) -> None:
    CapturedInput.objects.latest("pk").delete()
    assert keep_in_files() == 0
    assert files(folder) == []


def test_what_was_read_before_it_was_packed_reads_on(digits: Application) -> None:
    rows = list(CapturedInput.objects.order_by("pk").defer("body"))
    keep_in_files()
    first = CapturedInput.objects.earliest("pk")
    erase_captured(digits, key="ada", by=BY)
    assert body_of(first).input == body_of(rows[0]).input
    with pytest.raises((SegmentUnreadable, CapturedInput.DoesNotExist)):
        body_of(rows[-1])


def test_what_is_erased_is_in_no_file_and_others_are_kept(
    digits: Application, folder: Path
) -> None:
    keep_as_set(digits, CapturedInput.objects.filter(key="ada"), name="golden", by=BY)
    drop_set(digits, name="golden", by=BY)
    keep_in_files()
    others = inputs()[:-1]
    assert erase_captured(digits, key="ada", by=BY) == 1
    assert inputs() == others
    [file] = files(folder)
    assert b"lovelace" not in gzip.decompress(file.read_bytes())


def test_rows_of_a_file_leave_together_and_with_them_the_file(
    digits: Application, folder: Path
) -> None:
    keep_in_files()
    first = CapturedInput.objects.earliest("pk")
    keep_as_set(digits, CapturedInput.objects.filter(pk=first.pk), name="golden", by=BY)
    age(timedelta(days=8), pk=CapturedInput.objects.latest("pk").pk)
    assert prune_captured() == COUNT - 1
    keep_in_files()
    assert inputs() == ["[0,  0.5]"]
    [file] = files(folder)
    assert len(gzip.decompress(file.read_bytes()).splitlines()) == 1
    drop_set(digits, name="golden", by=BY)
    age(timedelta(days=8))
    prune_captured()
    keep_in_files()
    assert files(folder) == []
    assert not CapturedSegment.objects.exists()


class Killed(BaseException):
    """The end of the process, where it happens."""


@contextmanager
def once_an_index_row_is_written(act: Callable[..., None]) -> Iterator[None]:
    post_save.connect(act, sender=CapturedSegment)
    try:
        yield
    finally:
        post_save.disconnect(act, sender=CapturedSegment)


@pytest.mark.parametrize("after", ["index row", "file"])
def test_a_kill_loses_nothing_and_leaves_nothing(
    digits: Application, folder: Path, after: str
) -> None:
    def killed(instance: CapturedSegment, **_: Any) -> None:
        raise Killed

    before = inputs()
    with once_an_index_row_is_written(killed), pytest.raises(Killed):
        keep_in_files()
    assert CapturedSegment.objects.count() == 1
    if after == "file":
        content = b"lovelace"
        ArtifactStore.default().put(content)
        CapturedSegment.objects.update(digest=hashlib.sha256(content).hexdigest())
        assert len(files(folder)) == 1
    assert inputs() == before
    CapturedInput.objects.filter(key="ada").delete()
    keep_in_files()
    assert (inputs(), files(folder)) == (before[:-1], [])
    assert not CapturedSegment.objects.exists()


def test_one_who_was_taken_for_dead_gives_no_rows_to_a_file_that_is_gone(
    digits: Application,
) -> None:
    def abandoned(instance: CapturedSegment, **_: Any) -> None:
        CapturedSegment.objects.update(rows=CapturedSegment.GONE)

    before = inputs()
    with once_an_index_row_is_written(abandoned), pytest.raises(Conflict):
        keep_in_files()
    assert inputs() == before


def test_a_full_disk_leaves_rows_where_they_are_and_the_reason_is_shown(
    digits: Application, settings: Settings
) -> None:
    before = inputs()
    settings.CLIPPER_MIN_FREE_BYTES = 1 << 60
    with pytest.raises(InsufficientStorage):
        keep_in_files()
    assert "Too little room" in problem_now()
    assert inputs() == before


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_a_file_that_is_harmed_says_so_and_stops_nobody(
    digits: Application, folder: Path, harm: str
) -> None:
    keep_in_files()
    [file] = files(folder)
    file.unlink()
    if harm == "damaged":
        file.write_bytes(b"no gzip")
    with pytest.raises(SegmentUnreadable, match=harm):
        body_of(CapturedInput.objects.earliest("pk"))
    assert erase_captured(digits, key="ada", by=BY) == 1
    with pytest.raises(SegmentUnreadable, match="given up"):
        body_of(CapturedInput.objects.earliest("pk"))
    assert files(folder) == []


def test_files_may_be_in_another_storage(digits: Application, settings: Settings) -> None:
    memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "artifacts": memory}
    before = inputs()
    assert keep_in_files() == COUNT
    assert erase_captured(digits, key="ada", by=BY) == 1
    assert inputs() == [text.replace("\n", " ") for text in before[:-1]]


def test_a_host_without_the_artifacts_writes_none(digits: Application, settings: Settings) -> None:
    settings.CLIPPER_ARTIFACTS_URL = ["http://console:8001"]
    assert keep_in_files() == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["", "a"]), st.integers(0, 3000)),
        max_size=20,
    ),
    st.integers(1, 700),
)
def test_each_row_is_ripe_once_at_most_among_its_own(
    kinds: list[tuple[int, str, int]], each: int
) -> None:
    now, rows = timezone.now(), []
    apps = {number: Application(pk=number, capture_days=number + 1) for number in range(3)}
    for number, name, minutes in sorted(kinds, key=lambda kind: (kind[:2], -kind[2])):
        at = now - timedelta(minutes=minutes)
        rows += [CapturedInput(application=apps[number], set_name=name, at=at) for _ in range(each)]
    for pk, row in enumerate(rows):
        row.pk = pk
    groups = [[rows[pk] for pk in group] for group in ripe(rows, now=now)]
    packed = [row.pk for group in groups for row in group]
    assert len(packed) == len(set(packed))
    for group in groups:
        assert FEWEST_ROWS <= len(group) <= MOST_ROWS
        assert len({(row.application_id, row.set_name) for row in group}) == 1
        days = group[0].application.capture_days
        assert group[-1].at - group[0].at <= timedelta(days=days) / SPAN
