"""Figure 3: what a batch takes by its size, for five models, and the largest within 20 ms."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from sklearn.linear_model import QuantileRegressor

from benchmarks import charts
from benchmarks.charts import Panel
from benchmarks.command import Failed
from benchmarks.experiment import Experiment, Session
from benchmarks.frames import P99, Frame, Records, of, percentile
from benchmarks.paper import PAPER, SLO_SECONDS, models
from benchmarks.paper.frontend import calm_gc
from benchmarks.telling import Target
from serving.rpc.frames import AnswerStatus, FrameDecoder, FrameType, decode_answers, encode_predict

SIZES = tuple(2**power for power in range(13))
# Sizes that take far longer than the objective say nothing about it, and bend the line.
LONGEST = 3.0 * SLO_SECONDS
ROUNDS, WARM_UP = 4, 3
ANSWER_SECONDS = 60.0

# Sends a batch to a container, and returns what it took.
Probe = Callable[[Sequence[bytes]], float]


class Line(NamedTuple):
    """Seconds that a batch takes: `fixed`, and `row` for each input."""

    fixed: float
    row: float

    def largest_within(self, seconds: float) -> float:
        """How many whole inputs fit into `seconds`: at least one, as a batch holds no less."""
        if self.row <= 0.0:
            return math.inf if self.fixed <= seconds else 1.0
        return max(1.0, math.floor((seconds - self.fixed) / self.row))


def p99_line(sizes: Sequence[float], latencies: Sequence[float]) -> Line:
    """Fit latency = fixed + row x size by quantile regression (linear programming, exact)."""
    # In milliseconds and thousands, so that the solver's tolerances mean something.
    x = np.asarray(sizes, dtype=float)[:, None] / 1e3
    y = np.asarray(latencies, dtype=float) * 1e3
    fitted = QuantileRegressor(quantile=P99, alpha=0.0, solver="highs").fit(x, y)
    return Line(fixed=float(fitted.intercept_) / 1e3, row=float(fitted.coef_[0]) / 1e6)


def line_of(result: Frame, model: str) -> Line:
    seen = of(result, model=model)
    return p99_line(seen["size"], seen["seconds"])


def largest(result: Frame, model: str) -> float:
    """The largest batch of which 99 in 100 take no longer than the objective."""
    return line_of(result, model).largest_within(SLO_SECONDS)


def measure(session: Session) -> Records:
    found: Records = []
    for name in models.TITLES:
        found += profile(session, name)
        fits = largest(Frame(found), name)
        session.say(f"  {models.TITLES[name]:16} largest batch within 20 ms: {fits:,.0f}")
    return found


def profile(session: Session, name: str, *, sizes: Sequence[int] = SIZES) -> Records:
    """Each size is asked for some time, within some numbers of batches."""
    lasts, fewest, most = (0.12, 8, 48) if session.quick else (1.2, 16, 200)
    artifact = models.trained(session, name)
    with (
        models.running_containers([artifact], folder=session.folder) as (container,),
        socket.socket(socket.AF_UNIX) as opened,
        calm_gc(),
    ):
        opened.settimeout(ANSWER_SECONDS)
        opened.connect(container.address.removeprefix("unix:"))
        probe = partial(_seconds, opened, FrameDecoder())
        expected = _first_look(probe, sizes=sizes)
        found: Records = []
        # Several rounds: what disturbs the machine for a moment must not meet one size only.
        for _ in range(ROUNDS):
            for size, seconds in expected.items():
                count = min(most, max(fewest, int(lasts / seconds)))
                batch = models.questions(SIZES[-1])[:size]
                for _ in range(-(-count // ROUNDS)):
                    found.append({"model": name, "size": size, "seconds": probe(batch)})
    return found


def _first_look(probe: Probe, *, sizes: Sequence[int]) -> dict[int, float]:
    """Warm up at each size that is worth measuring; return about what a batch of it takes."""
    found: dict[int, float] = {}
    for size in sizes:
        batch = models.questions(SIZES[-1])[:size]
        found[size] = min(probe(batch) for _ in range(WARM_UP))
        if 2 * found[size] > LONGEST:
            break
    return found


def _seconds(opened: socket.socket, decoder: FrameDecoder, inputs: Sequence[bytes]) -> float:
    """From encoding the batch to having its answers decoded, without an engine in between."""
    started = perf_counter()
    opened.sendall(encode_predict(1, inputs))
    while data := opened.recv(1 << 20):
        for frame in decoder.feed(data):
            if frame.type is FrameType.ANSWER:
                answers, _ = decode_answers(frame.body)
                seconds = perf_counter() - started
                if any(answer.status is not AnswerStatus.OK for answer in answers):
                    raise Failed(f"A model failed: {bytes(answers[0].payload)!r}")
                return seconds
    raise Failed("The container is gone.")


def targets(result: Frame) -> list[Target]:
    linear, kernel = largest(result, models.LINEAR_SVM), largest(result, models.KERNEL_SVM)
    what = "largest batch within 20 ms, linear SVM : kernel SVM"
    return [Target(what, linear / kernel, "≥ 50", f"{PAPER['fig3_spread']}")]


def _panel(model: str) -> Panel:
    def latencies(result: Frame) -> Frame:
        groups = of(result, model=model).groupby("size")["seconds"]
        p99 = groups.agg(lambda seen: percentile(seen, P99))
        return 1e3 * Frame({"median": groups.median(), "P99": p99})

    def more(axes: Axes, result: Frame) -> None:
        """The regression line, and where it crosses the objective."""
        line, fits = line_of(result, model), largest(result, model)
        right = max(of(result, model=model)["size"].max(), fits) * 1.04
        ends = [1e3 * line.fixed, 1e3 * (line.fixed + right * line.row)]
        axes.plot([0, right], ends, color=charts.LIMIT, linewidth=1.2)
        axes.annotate(f"{fits:,.0f}", (fits, 1e3 * SLO_SECONDS), color=charts.LIMIT, ha="right")
        axes.set(xlim=(0, right), ylim=(0, 66))

    return Panel(
        title=models.TITLES[model], of=latencies, x="batch size", y="ms", more=more,
        limits=(1e3 * SLO_SECONDS,),
    )  # fmt: skip


def rates(result: Frame) -> Frame:
    """Throughput at the largest batch, ours and as far as known the paper's."""
    ours = {title: largest(result, name) / SLO_SECONDS for name, title in models.TITLES.items()}
    theirs = {models.TITLES[name]: rate for name, rate in PAPER["fig3_rate"].items()}
    return Frame({"measured": ours, "the paper": theirs}).loc[list(ours)]


FIG3 = Experiment(
    name="fig3",
    title="Figure 3: latency by batch size",
    workload="batches of 1, 2, 4, ... one after the other",
    systems=tuple(models.TITLES),
    measure=measure,
    targets=targets,
    panels=(
        *map(_panel, models.TITLES),
        Panel(title="Within 20 ms", x="queries/s", of=rates, across=True, log="x"),
    ),
)
