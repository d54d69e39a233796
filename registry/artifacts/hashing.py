"""Reads a whole file to hash it, in pieces, without keeping a core from those who want it."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

from core.loop.giving_way import GivingWay

PIECE_BYTES = 1 << 20
# After each where cores are short: 200 MB/s are left, so that 2 GB keep an answer for ten seconds.
PAUSE_S = 0.005


def read_through(file: IO[bytes], *, update: Callable[[bytes], None]) -> None:
    """Hand all of it to a hash's `update`."""
    give_way = GivingWay(pause_s=PAUSE_S)
    while piece := file.read(PIECE_BYTES):
        update(piece)
        give_way()
