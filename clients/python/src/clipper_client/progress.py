"""How far something is, on a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys
from time import monotonic

WIDTH = 30
# Drawn so often at most.
PAUSE_S = 0.1


def wanted(shown: bool | None) -> bool:
    """Return whether to show anything: None means on a terminal alone."""
    return sys.stderr.isatty() if shown is None else shown


class Stages:
    """Shows what something is at, in a line for each change."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, stage: object) -> None:
        if (text := str(stage)) != self._last:
            self._last = text
            print(text, file=sys.stderr, flush=True)


class Bar:
    """Shows how far something is; `total` None where that isn't known, `shown` as of `wanted`."""

    def __init__(self, unit: str, *, total: int | None, shown: bool | None) -> None:
        self._unit = unit
        self._total = total
        self._shown = wanted(shown)
        self._began = monotonic()
        self._drawn_at = 0.0
        self._done = 0

    def show(self, done: int) -> None:
        self._done = done
        now = monotonic()
        if self._shown and (now - self._drawn_at >= PAUSE_S or done == self._total):
            self._drawn_at = now
            self._draw()

    def close(self) -> None:
        """Leave the last state on its line."""
        if self._shown and self._drawn_at:
            self._draw()
            print(file=sys.stderr)

    def _draw(self) -> None:
        rate = self._done / max(monotonic() - self._began, 1e-3)
        if self._total:
            share = min(1.0, self._done / self._total)
            filled = round(share * WIDTH)
            bar = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {share:4.0%} of {self._total:,}"
        else:
            bar = f"{self._done:,}"
        print(f"\r{bar} {self._unit}, {rate:,.0f}/s ", end="", file=sys.stderr, flush=True)
