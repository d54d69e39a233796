"""What a person sees: short lines, flushed at once, and the scans as pictures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

SIDE = 8
DARKEST = 16
BLOCKS, PLAIN = " ░▒▓█", " .+#@"


def say(line: str = "") -> None:
    """Print a line, where it can be printed: no stack ends for want of a terminal or of a disk."""
    with suppress(OSError):
        print(line, flush=True)


def picture(pixels: Sequence[float], *, shades: str | None = None) -> list[str]:
    """The lines of one 8 by 8 scan (64 values, 0 to 16), two characters a pixel."""
    shades = shades or shades_of(sys.stdout.encoding)
    characters = [shades[round(value / DARKEST * (len(shades) - 1))] * 2 for value in pixels]
    return ["".join(characters[row : row + SIDE]) for row in range(0, SIDE * SIDE, SIDE)]


def shades_of(encoding: str | None) -> str:
    """Blocks where the terminal can show them, plain characters elsewhere."""
    try:
        BLOCKS.encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return PLAIN
    return BLOCKS


def side_by_side(columns: Sequence[Sequence[str]], *, width: int) -> list[str]:
    """Lines of equally tall columns next to each other, each padded to `width`."""
    rows = zip(*columns, strict=True)
    return ["  ".join(cell.ljust(width) for cell in row).rstrip() for row in rows]
