"""The overload judged and drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import style
from benchmarks.figures.claims import Claim, number
from benchmarks.figures.experiment import Experiment
from benchmarks.figures.quantiles import P99, percentile
from benchmarks.paper.open_loop import Sample
from benchmarks.paper.overload import FACTOR, FEW, MANY, Crowd, Flood, Overload, measure

# Until then caches and buffers of the web process may still grow to what the load needs.
SETTLED_SECONDS = 3.0
# How finely the charts show time, in seconds.
STEP = 0.5


def in_time(sample: Sample, *, objective: float) -> bool:
    """Answered by the model within the objective, counted from when the query was due."""
    return sample.status == 200 and not sample.default and sample.seconds <= objective


def in_vain(sample: Sample, *, objective: float) -> bool:
    """Neither answered in time nor turned away in time: kept waiting for nothing."""
    return sample.status != 200 or sample.seconds > objective


def between(flood: Flood, begin: float, end: float) -> list[Sample]:
    return [sample for sample in flood.samples if begin <= sample.due < end]


def good_rate(flood: Flood) -> float:
    """Answers a second in time by the model, while too much was offered."""
    good = [in_time(s, objective=flood.objective) for s in between(flood, flood.begin, flood.end)]
    return sum(good) / (flood.end - flood.begin)


def seconds_to_recover(flood: Flood) -> float:
    """From the end of the overload until the first query due after it was answered in time."""
    after = between(flood, flood.end, math.inf)
    good = (s for s in after if in_time(s, objective=flood.objective))
    return min((s.due + s.seconds - flood.end for s in good), default=math.nan)


def memory_growth(flood: Flood) -> float:
    """The web process's memory at the end of the overload, beside that soon after its begin."""
    during = [r for r in flood.memory if flood.begin + SETTLED_SECONDS <= r.at < flood.end]
    return during[-1].mib / during[0].mib if during else math.nan


def share(samples: Sequence[bool]) -> float:
    return sum(samples) / len(samples) if samples else math.nan


def claims(result: Overload) -> list[Claim]:
    flood, objective = result.flood, result.flood.objective
    crowds = {crowd.connections: crowd for crowd in result.crowds}
    during = between(flood, flood.begin, flood.end)
    # What was left in the queue is done within one objective.
    after = between(flood, flood.end + objective, math.inf)
    return [
        Claim(
            figure="overload",
            what=f"{FACTOR:g} x capacity offered: answers in time : capacity",
            seen=good_rate(flood) / flood.capacity,
            at_least=0.90,
        ),
        Claim(
            figure="overload",
            what="memory of the web process, end : begin of the overload",
            seen=memory_growth(flood),
            at_most=1.05,
        ),
        Claim(
            figure="overload",
            what="queries kept waiting beyond the objective, or without any answer",
            seen=100 * share([in_vain(s, objective=objective) for s in during]),
            at_most=1.0,
            unit=" %",
        ),
        Claim(
            figure="overload",
            what="after the overload, until a query is answered in time",
            seen=seconds_to_recover(flood) * 1e3,
            # What waits when it ends may wait for one objective, and is answered first.
            at_most=2 * objective * 1e3,
            unit=" ms",
        ),
        Claim(
            figure="overload",
            what="after the overload, answers in time",
            seen=100 * share([in_time(s, objective=objective) for s in after]),
            at_least=99.0,
            unit=" %",
        ),
        Claim(
            figure="overload",
            what=f"throughput, {MANY:,} connections : {FEW}",
            seen=crowds[MANY].rate / crowds[FEW].rate,
            at_least=0.70,
        ),
        Claim(
            figure="overload",
            what=f"the next query after {MANY:,} connections",
            seen=crowds[MANY].next_seconds * 1e3 if crowds[MANY].next_by_model else math.nan,
            at_most=1000.0,
            unit=" ms",
        ),
    ]


def draw(result: Overload) -> Figure:
    flood = result.flood
    figure = style.styled(
        title="Overload",
        subtitle=f"Left: a model of {1e3 / flood.capacity:.1f} ms a query is offered {FACTOR:g} "
        "times what it can do, open loop over HTTP. Right: a fast model, closed loop.",
        width=11.0,
        height=6.4,
    )
    axes = figure.subplot_mosaic(
        [["answers", "crowds"], ["latency", "waits"], ["memory", "waits"]],
        width_ratios=[2.4, 1.0],
        height_ratios=[1.7, 1.0, 0.7],
    )
    _draw_answers(axes["answers"], flood)
    _draw_latency(axes["latency"], flood)
    _draw_memory(axes["memory"], flood)
    _draw_crowds(axes["crowds"], result.crowds)
    _draw_waits(axes["waits"], result.crowds)
    style.legend(figure, axes["answers"], columns=4)
    return figure


def _steps(flood: Flood) -> list[float]:
    """The begins of all steps of the charts."""
    last = max(sample.due for sample in flood.samples)
    return [STEP * number for number in range(math.ceil(last / STEP))]


def _draw_answers(axes: Axes, flood: Flood) -> None:
    """The queries of each step by how they ended."""
    objective = flood.objective
    good, turned_away, vain = [], [], []
    for start in _steps(flood):
        samples = between(flood, start, start + STEP)
        good.append(sum(in_time(s, objective=objective) for s in samples) / STEP)
        vain.append(sum(in_vain(s, objective=objective) for s in samples) / STEP)
        turned_away.append(len(samples) / STEP - good[-1] - vain[-1])
    axes.stackplot(
        _steps(flood), good, turned_away, vain,
        colors=[style.BLUE, style.PALE, style.LIMIT], step="post",
        labels=["by the model, in time", "default, in time", "late or none"],
    )  # fmt: skip
    axes.axhline(
        flood.capacity, color=style.INK, linewidth=1.1, linestyle=(0, (5, 3)), label="capacity"
    )
    axes.set(title="Queries by how they ended", ylabel="queries/s", ylim=(0, None))
    _share_time(axes, flood, named=False)


def _draw_latency(axes: Axes, flood: Flood) -> None:
    steps = [between(flood, start, start + STEP) for start in _steps(flood)]
    for q, colour, name in ((P99, style.ORANGE, "P99"), (0.5, style.BLUE, "median")):
        values = [percentile([s.seconds for s in samples], q) * 1e3 for samples in steps]
        middles = [start + STEP / 2 for start in _steps(flood)]
        axes.plot(middles, values, color=colour, linewidth=1.4, label=name)
    style.limit(axes, flood.objective * 1e3, label="objective")
    top = max(1.4 * flood.objective * 1e3, axes.get_ylim()[1])
    axes.set(title="Latency of all answers", ylabel="ms", ylim=(0, top))
    axes.legend(loc="lower right", ncols=2, bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1)
    _share_time(axes, flood, named=False)


def _draw_memory(axes: Axes, flood: Flood) -> None:
    axes.plot([r.at for r in flood.memory], [r.mib for r in flood.memory], color=style.TEAL)
    top = max(reading.mib for reading in flood.memory)
    axes.set(title="Memory of the web process", ylabel="MiB", ylim=(0, 1.2 * top))
    _share_time(axes, flood, named=True)


def _share_time(axes: Axes, flood: Flood, *, named: bool) -> None:
    axes.axvspan(flood.begin, flood.end, color=style.SHADE, linewidth=0, zorder=0)
    axes.set_xlim(0, _steps(flood)[-1])
    if named:
        axes.set_xlabel("seconds (shaded: overload)")
    else:
        axes.tick_params(labelbottom=False)


def _draw_crowds(axes: Axes, crowds: Sequence[Crowd]) -> None:
    for place, crowd in enumerate(crowds):
        axes.bar(place, crowd.rate, width=0.56, color=style.BLUE)
        axes.annotate(
            number(crowd.rate), (place, 0), xytext=(0, 6), textcoords="offset points",
            ha="center", color="white", fontweight="bold",
        )  # fmt: skip
    style.limit(axes, 0.7 * crowds[0].rate, label="70 %", at=0.53)
    _name_crowds(axes, crowds)
    axes.set(title="Answers by the model", ylabel="queries/s")
    axes.yaxis.set_major_formatter("{x:,.0f}")


def _draw_waits(axes: Axes, crowds: Sequence[Crowd]) -> None:
    for place, crowd in enumerate(crowds):
        for offset, value, colour in (
            (-0.27, crowd.p50, style.BLUE),
            (0.0, crowd.p99, style.ORANGE),
            (0.27, crowd.next_seconds, style.TEAL),
        ):
            axes.bar(place + offset, value * 1e3, width=0.24, color=colour)
            axes.annotate(
                f"{value * 1e3:,.0f}", (place + offset, value * 1e3), xytext=(0, 2),
                textcoords="offset points", ha="center", fontsize=8,
            )  # fmt: skip
    for label, colour in (
        ("median", style.BLUE), ("P99", style.ORANGE), ("next query, after", style.TEAL)
    ):  # fmt: skip
        axes.bar(0, 0, color=colour, label=label)
    axes.legend(loc="upper left")
    _name_crowds(axes, crowds)
    axes.set(title="Latency", ylabel="ms")


def _name_crowds(axes: Axes, crowds: Sequence[Crowd]) -> None:
    axes.set_xticks(range(len(crowds)), [f"{crowd.connections:,}" for crowd in crowds])
    axes.set_xlabel("connections")
    axes.grid(visible=False, axis="x")


OVERLOAD = Experiment(
    name="overload",
    title="Overload: three times the capacity, and 1,500 connections",
    result=Overload,
    measure=measure,
    claims=claims,
    draw=draw,
)
