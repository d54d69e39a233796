"""Figure 9: the ensembles judged and drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import style
from benchmarks.figures.claims import Claim, number
from benchmarks.figures.experiment import Experiment
from benchmarks.paper import published
from benchmarks.paper.stragglers import (
    BLOCKING,
    MITIGATED,
    MODEL,
    RATE,
    SLO_MS,
    Stragglers,
    mean_ms,
    measure,
    p99_ms,
)

# What the mitigated P99 may be beyond the objective, and what the blocking one is at least.
GRACE_MS, BLOCKING_FACTOR = 3.0, 3.0
# How much accuracy may be lost, in points, where at least so many answer.
LOSS_POINTS, ENOUGH = 2.0, 0.6
# A lone model that is late leaves nothing to answer with; with so many one is always there.
MANY = 4


def claims(result: Stragglers) -> list[Claim]:
    largest = result.ensembles[-1]
    known = {one.size: one for one in published.FIG9}
    worst = max(result.ensembles, key=lambda one: one.mitigated_p99_ms)
    enough = [one for one in result.ensembles if one.in_time >= ENOUGH]
    return [
        Claim(
            figure="fig9",
            what=f"P99 with mitigation, worst of all sizes ({worst.size})",
            seen=worst.mitigated_p99_ms,
            at_most=SLO_MS + GRACE_MS,
            unit=" ms",
            paper=f"{number(max(one.mitigated_p99_ms for one in published.FIG9))} ms",
        ),
        Claim(
            figure="fig9",
            what=f"P99 waiting for all {largest.size}",
            seen=largest.blocking_p99_ms,
            at_least=BLOCKING_FACTOR * SLO_MS,
            unit=" ms",
            paper=f"{number(known[largest.size].blocking_p99_ms)} ms"
            if largest.size in known
            else "",
        ),
        Claim(
            figure="fig9",
            what=f"accuracy lost where ≥ {ENOUGH:.0%} are in time, of queries answered",
            seen=_points_lost([(one.full_of_answered, one.accuracy_of_answered) for one in enough]),
            at_most=LOSS_POINTS,
            unit=" points",
        ),
        Claim(
            figure="fig9",
            what=f"the same with ≥ {MANY} models, of all queries",
            seen=_points_lost([(one.full, one.accuracy) for one in enough if one.size >= MANY]),
            at_most=LOSS_POINTS,
            unit=" points",
        ),
    ]


def _points_lost(pairs: Sequence[tuple[float, float]]) -> float:
    """The largest difference in points between the first and the second of each pair."""
    return max((100 * (full - seen) for full, seen in pairs), default=math.nan)


def draw(result: Stragglers) -> Figure:
    late = MODEL.late
    figure = style.styled(
        title="Ensembles with stragglers",
        subtitle=f"Each model takes {MODEL.usual * 1e3:g} ms a batch, and with "
        f"{MODEL.chance:.0%} chance {late[0] * 1e3:g} to {late[1] * 1e3:g} ms; {RATE:g} "
        f"queries/s, objective {SLO_MS:g} ms. Grey: the paper.",
        width=11.4,
        height=4.3,
    )
    latency, in_time, accuracy = style.panels(figure, rows=1, columns=3)
    _draw_latency(latency, result)
    _draw_in_time(in_time, result)
    _draw_accuracy(accuracy, result)
    for axes in (latency, in_time, accuracy):
        axes.set(xlabel="models in the ensemble", xlim=(0, 17))
        axes.set_xticks([1, 4, 8, 12, 16])
    return figure


def _draw_latency(axes: Axes, result: Stragglers) -> None:
    sizes = [one.size for one in result.ensembles]
    for kind, colour, name in (
        (BLOCKING, style.ORANGE, "waiting for all"), (MITIGATED, style.BLUE, "mitigated")
    ):  # fmt: skip
        answers = [getattr(one, kind) for one in result.ensembles]
        axes.plot(sizes, [p99_ms(one) for one in answers], "o-", color=colour, label=f"{name}, P99")
        axes.plot(
            sizes, [mean_ms(one) for one in answers], color=colour, linewidth=1.0,
            linestyle=(0, (4, 2)), label=f"{name}, mean",
        )  # fmt: skip
    paper = published.FIG9
    axes.plot(
        [one.size for one in paper], [one.blocking_p99_ms for one in paper], "D",
        color=style.PAPER, markersize=3.5,
    )  # fmt: skip
    axes.plot(
        [one.size for one in paper], [one.mitigated_p99_ms for one in paper], "D",
        color=style.PAPER, markersize=3.5, label="the paper's P99s",
    )  # fmt: skip
    style.limit(axes, SLO_MS, label="")
    top = max(p99_ms(one.blocking) for one in result.ensembles)
    axes.set(title="Latency", ylabel="ms", ylim=(0, 1.75 * max(top, 165)))
    axes.legend(loc="upper left", fontsize=8)


def _draw_in_time(axes: Axes, result: Stragglers) -> None:
    axes.bar(
        [one.size for one in result.ensembles], [100 * one.in_time for one in result.ensembles],
        width=0.8, color=style.BLUE,
    )  # fmt: skip
    for one in result.ensembles:
        axes.annotate(
            f"{one.in_time:.0%}", (one.size, 100 * one.in_time), xytext=(0, 3),
            textcoords="offset points", ha="center", fontsize=8,
        )  # fmt: skip
    axes.plot(
        [one.size for one in published.FIG9], [100 * one.in_time for one in published.FIG9], "D",
        color=style.PAPER, markersize=3.5,
    )  # fmt: skip
    axes.set(title="Answers in time", ylabel="% of the models", ylim=(0, 108))
    axes.grid(visible=False, axis="x")


def _draw_accuracy(axes: Axes, result: Stragglers) -> None:
    sizes = [one.size for one in result.ensembles]
    for values, colour, marker, name in (
        ([one.full for one in result.ensembles], style.TEAL, "-", "all models"),
        ([one.accuracy_of_answered for one in result.ensembles], style.BLUE, "o-", "those in time"),
        ([one.accuracy for one in result.ensembles], style.ROSE, "o:", "default counted as wrong"),
    ):
        axes.plot(sizes, [100 * value for value in values], marker, color=colour, label=name)
    axes.plot(
        [one.size for one in published.FIG9], [100 * one.accuracy for one in published.FIG9], "D",
        color=style.PAPER, markersize=3.5, label="the paper",
    )  # fmt: skip
    axes.set(title="Accuracy", ylabel="% right", ylim=(50, 101))
    axes.legend(loc="lower right", fontsize=8)


FIG9 = Experiment(
    name="fig9",
    title="Figure 9: stragglers",
    result=Stragglers,
    measure=measure,
    claims=claims,
    draw=draw,
)
