"""The soak as a picture: rate and memory over time, with what happened meanwhile."""

from __future__ import annotations

from itertools import groupby, pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import style
from benchmarks.soak.verdict import Soak


def draw(soak: Soak) -> Figure:
    queries = soak.last.total("queries")
    figure = style.styled(
        title="Soak",
        subtitle=f"{queries:,} queries in {soak.seconds:,.0f} s from clients that never pause, "
        "while one part after another is changed or killed",
        width=11.0,
        height=7.0,
    )
    rate, web, others = style.panels(
        figure, rows=3, columns=1, sharex=True, height_ratios=[3, 2, 1.4]
    )
    _draw_rate(rate, soak)
    _draw_web(web, soak)
    _draw_others(others, soak)
    for axes in (rate, web, others):
        for event in soak.events:
            begin, over = event.at - soak.started, event.over - soak.started
            axes.axvspan(begin, max(over, begin + 0.5), color=style.PALE, linewidth=0, zorder=0)
        axes.set(xlim=(0, soak.seconds), ylim=(0, None))
    others.set_xlabel("seconds (shaded: until the stack had recovered)")
    return figure


def _draw_rate(axes: Axes, soak: Soak) -> None:
    times, rates, unserved = [], [], []
    for before, after in pairwise(soak.progress):
        seconds = after.at - before.at
        times.append(after.at - soak.started)
        rates.append((after.total("queries") - before.total("queries")) / seconds)
        wrong = [after.total(f) - before.total(f) for f in ("defaults", "late", "broken", "errors")]
        unserved.append(sum(wrong) / seconds)
    axes.plot(times, rates, color=style.BLUE, linewidth=1.2, label="queries")
    axes.plot(times, unserved, color=style.ORANGE, linewidth=1.2, label="default, late or broken")
    axes.set(title="Queries a second")
    axes.legend(loc="lower right", ncols=2, bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    top = 1.5 * max(rates, default=1.0)
    axes.set_ylim(0, top)
    for event in soak.events:
        axes.annotate(
            event.name, (event.at - soak.started, top), xytext=(2, -2), rotation=90,
            textcoords="offset points", va="top", ha="left", fontsize=7, color=style.QUIET,
        )  # fmt: skip


def _draw_web(axes: Axes, soak: Soak) -> None:
    """Each process by itself: where one was killed another begins anew."""
    for number, (_, life) in enumerate(groupby(soak.memory, key=lambda r: r.pid)):
        readings = list(life)
        times = [reading.at - soak.started for reading in readings]
        for field, colour, name in (("web", style.TEAL, "RSS"), ("web_pss", style.VIOLET, "PSS")):
            values = [getattr(reading, field) for reading in readings]
            axes.plot(times, values, color=colour, label=None if number else name)
    axes.set(title="Memory of the web process", ylabel="MiB")
    axes.legend(loc="lower right", ncols=2, bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1)


def _draw_others(axes: Axes, soak: Soak) -> None:
    times = [reading.at - soak.started for reading in soak.memory]
    for field, colour, name in (
        ("worker_pss", style.ROSE, "CPU worker and replicas, PSS"),
        ("redis", style.INK, "Redis, RSS"),
    ):
        values = [getattr(reading, field) for reading in soak.memory]
        axes.plot(times, values, color=colour, label=name, linewidth=1.4)
    axes.set(title="Memory of the others", ylabel="MiB")
    axes.legend(loc="lower right", ncols=2, bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1)
