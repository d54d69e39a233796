"""The live picture is drawn once for many pages, and anew for who has just changed something."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from console.live.home import SharedPicture


class Drawing:
    """Draws pictures that are numbered, when it may."""

    def __init__(self) -> None:
        self.drawn = 0
        self.begun, self.may_go_on = Event(), Event()
        self.may_go_on.set()

    def __call__(self) -> dict[str, Any]:
        self.begun.set()
        assert self.may_go_on.wait(20)
        self.drawn += 1
        return {"number": self.drawn}


@pytest.fixture
def drawing() -> Drawing:
    return Drawing()


def test_pages_that_ask_at_once_are_shown_one_picture(drawing: Drawing) -> None:
    shared = SharedPicture(drawing)
    shared.show_for(3600)
    drawing.may_go_on.clear()
    with ThreadPoolExecutor(5) as pages:
        shown = [pages.submit(shared.latest) for _ in range(5)]
        assert drawing.begun.wait(20)
        drawing.may_go_on.set()
        assert [each.result(20) for each in shown] == [{"number": 1}] * 5
    assert drawing.drawn == 1


def test_a_page_that_is_opened_is_drawn_anew_and_others_are_shown_that(drawing: Drawing) -> None:
    shared = SharedPicture(drawing)
    shared.show_for(3600)
    shared.latest()
    assert shared.latest(anew=True) == {"number": 2}
    assert shared.latest() == {"number": 2}


def test_what_could_not_be_drawn_is_tried_again(drawing: Drawing) -> None:
    failing = [ValueError("no such table")]

    def draw() -> dict[str, Any]:
        if failing:
            raise failing.pop()
        return drawing()

    shared = SharedPicture(draw)
    shared.show_for(3600)
    with pytest.raises(ValueError, match="no such table"):
        shared.latest()
    assert shared.latest() == {"number": 1}
