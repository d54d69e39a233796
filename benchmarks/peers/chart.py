"""The picture: queries a second and latencies of every server, under each of its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import style
from benchmarks.peers.hosts import CLIPPER, ECHO
from benchmarks.peers.judging import ALONE, LOADED, P99_MS
from benchmarks.peers.results import Entry, Results, middle

COLOURS = {CLIPPER: style.BLUE, ECHO: style.PAPER}
THEIRS = style.TEAL
BAR, GAP = 0.78, 0.45


def draw(results: Results) -> Figure:
    """Three panels of horizontal bars that share their rows."""
    entries = results.entries()
    figure = style.styled(
        title="Clipper beside other prediction servers",
        subtitle="The same LinearSVC, 784 numbers as JSON, one worker, batches of up to 64; "
        "two cores for the server and the load generator.",
        width=11.0,
        height=1.6 + 0.27 * len(entries),
    )
    panels = style.panels(figure, rows=1, columns=3, sharey=True)
    places = _places(entries)
    _bars(
        panels[0], entries, places, title=f"Queries/s, {LOADED} connections",
        value=lambda entry: middle(results.rates(entry, LOADED)), text="{:,.0f}",
    )  # fmt: skip
    _bars(
        panels[1], entries, places, title="P50 of a single client, ms",
        value=lambda entry: middle(results.p50_ms(entry, ALONE)), text="{:.2f}",
    )  # fmt: skip
    _bars(
        panels[2], entries, places, title=f"P99, {LOADED} connections, ms",
        value=lambda entry: middle(results.p99_ms(entry, LOADED)), text="{:,.0f}",
    )  # fmt: skip
    panels[2].axvline(P99_MS, color=style.LIMIT, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1.5)
    panels[0].set_yticks(places, [entry.title for entry in entries])
    panels[0].set_ylim(places[-1] + 0.7, -0.7)
    panels[0].xaxis.set_major_formatter("{x:,.0f}")
    return figure


def _places(entries: Sequence[Entry]) -> list[float]:
    """Rows from the top, a little apart where another server begins."""
    places: list[float] = []
    for number, entry in enumerate(entries):
        another = number > 0 and entries[number - 1].server != entry.server
        places.append((places[-1] + 1 + GAP * another) if places else 0.0)
    return places


def _bars(
    axes: Axes,
    entries: Sequence[Entry],
    places: Sequence[float],
    *,
    title: str,
    value: Callable[[Entry], float],
    text: str,
) -> None:
    values = [value(entry) for entry in entries]
    colours = [COLOURS.get(entry.server, THEIRS) for entry in entries]
    axes.barh(places, values, height=BAR, color=colours)
    for place, amount in zip(places, values, strict=True):
        style.name_bar(axes, place, amount, text=text.format(amount))
    axes.set(title=title, xlim=(0, 1.22 * max(values)))
    axes.grid(visible=False, axis="y")
