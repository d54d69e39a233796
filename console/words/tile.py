"""Numbers at the top of a page."""

from collections.abc import Sequence
from typing import NamedTuple


class Tile(NamedTuple):
    """A number with lines on what it rests on; `state` colours it, `page` is the tab with more."""

    name: str
    value: str
    rests_on: Sequence[str] = ()
    page: str = ""
    state: str = ""
