"""Figure 5: what it brings to hold a batch back for more queries, and what it costs."""

from __future__ import annotations

import msgspec
from matplotlib.axes import Axes

from benchmarks import charts
from benchmarks.experiment import Experiment, Session
from benchmarks.paper.closed_loop import ran
from benchmarks.paper.containers import on_one_core, running_containers
from benchmarks.paper.models import SleepingModel, Zoo
from benchmarks.paper.published import PAPER, SLO_SECONDS
from benchmarks.quantiles import P99, percentile
from benchmarks.targets import Target, at_least, at_most, number
from registry.specs import BatchingSpec
from serving.cluster.membership.records import ReplicaRecord

SLO = SLO_SECONDS
FIXED, FREE = "fixed-cost", "no-fixed-cost"
MODELS = {
    FIXED: SleepingModel(fixed=0.010, row=0.000_02),
    FREE: SleepingModel(fixed=0.0, row=0.000_3),
}
TITLES = {FIXED: "10 ms a batch + 0.02 ms a query", FREE: "0.3 ms a query"}
COLOURS = {FIXED: charts.BLUE, FREE: charts.ORANGE}
WAITS_MS = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
CLIENTS = 32
THINK = 0.000_5
INPUT = b"[1.0,2.0,3.0,4.0]"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    warm_up: float
    seconds: float
    waits_ms: tuple[float, ...] = WAITS_MS


FULL = Plan(warm_up=0.8, seconds=2.5)
QUICK = Plan(warm_up=0.4, seconds=0.6, waits_ms=(0.0, 1.0, 2.0, 10.0))


class Waited(msgspec.Struct, frozen=True, kw_only=True):
    """One container with one wait; `wait_ms` None is the one that learns by itself.

    Latencies are those of queries, in seconds.
    """

    model: str
    wait_ms: float | None
    rate: float
    batch: float
    mean: float
    p99: float


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    waited: list[Waited]

    def series(self, model: str) -> list[Waited]:
        """By the length of the wait, without the one that learns."""
        return [w for w in self.waited if w.model == model and w.wait_ms is not None]

    def learned(self, model: str) -> Waited:
        return next(w for w in self.waited if w.model == model and w.wait_ms is None)

    def gain(self, waited: Waited) -> float:
        return waited.rate / self.series(waited.model)[0].rate

    def best(self, model: str) -> Waited:
        return max(self.series(model), key=lambda waited: waited.rate)


def measure(session: Session) -> Waits:
    return waits(session, plan=QUICK if session.quick else FULL)


def waits(session: Session, *, plan: Plan) -> Waits:
    found = []
    for name, model in MODELS.items():
        artifact = Zoo.of(session).sleeping(name, model=model)
        with running_containers([artifact], folder=session.folder) as (container,), on_one_core():
            for wait_ms in (*plan.waits_ms, None):
                one = _run(container, wait_ms=wait_ms, plan=plan)
                found.append(one)
                session.say(
                    f"  {TITLES[name]:31} {_named(wait_ms):>11} {one.rate:6,.0f} queries/s, "
                    f"batches of {one.batch:4.1f}, mean {one.mean * 1e3:5.2f} ms, "
                    f"P99 {one.p99 * 1e3:5.2f} ms"
                )
    return Waits(waited=found)


def _named(wait_ms: float | None) -> str:
    return "auto" if wait_ms is None else f"wait {wait_ms:g} ms"


def _run(container: ReplicaRecord, *, wait_ms: float | None, plan: Plan) -> Waited:
    latencies, batches, elapsed = ran(
        [container],
        batching=BatchingSpec(wait_ms=wait_ms),
        inputs=[INPUT],
        clients=CLIENTS,
        think=THINK,
        # The first batches are small until the controller has found out what fits.
        warm_up=plan.warm_up,
        seconds=plan.seconds,
        batch_budget=SLO,
    )
    return Waited(
        model=container.model,
        wait_ms=wait_ms,
        rate=len(latencies) / elapsed,
        batch=len(latencies) / len(batches),
        mean=sum(latencies) / len(latencies),
        p99=percentile(latencies, P99),
    )


def targets(result: Waits) -> list[Target]:
    best = result.best(FIXED)
    spark = [rate for _, rate in PAPER.fig5_spark_rates]
    return [
        at_least(
            f"throughput, best wait ({number(best.wait_ms or 0.0)} ms) : none, fixed cost",
            result.gain(best),
            2.0,
            paper=f"{PAPER.fig5_gain} (2 ms)",
        ),
        at_most(
            "throughput, best wait : none, no fixed cost",
            result.gain(result.best(FREE)),
            1.10,
            paper=number(max(spark) / spark[0]),
        ),
        at_least(
            "throughput, the wait that learns : best wait, fixed cost",
            result.learned(FIXED).rate / best.rate,
            0.85,
        ),
        at_least(
            "throughput, the wait that learns : none, no fixed cost",
            result.gain(result.learned(FREE)),
            0.90,
        ),
    ]


def _draw_gains(axes: Axes, result: Waits) -> None:
    sklearn = tuple((waited.wait_ms, waited.rate) for waited in PAPER.fig5_sklearn)
    for rates, name, mark in (
        (sklearn, "scikit-learn", "D"),
        (PAPER.fig5_spark_rates, "Spark", "s"),
    ):
        axes.plot(
            [wait for wait, _ in rates], [rate / rates[0][1] for _, rate in rates],
            mark + "-", color=charts.PAPER, markerfacecolor="white", linewidth=1.2,
            label=f"the paper, {name}",
        )  # fmt: skip
    for model in MODELS:
        series = result.series(model)
        axes.plot(
            [w.wait_ms or 0.0 for w in series], [result.gain(w) for w in series],
            "o-", color=COLOURS[model], label=TITLES[model],
        )  # fmt: skip
        learned = result.gain(result.learned(model))
        axes.axhline(learned, color=COLOURS[model], linewidth=1.2, linestyle=":")
        charts.note(
            axes, f"auto\n{learned:.2f}", (1.0, learned), xycoords=axes.get_yaxis_transform(),
            va="center", color=COLOURS[model], fontsize=8.5,
        )  # fmt: skip
    axes.set(title="Throughput", xlabel="wait in ms", ylabel="times that without waiting")
    axes.set_ylim(0, 3.9)


def _draw_latencies(axes: Axes, result: Waits) -> None:
    sklearn = PAPER.fig5_sklearn
    waits_ms = [waited.wait_ms for waited in sklearn]
    for values, line, label in (
        ([waited.p99_ms for waited in sklearn], "--", "the paper, P99"),
        ([waited.mean_ms for waited in sklearn], "-", "the paper, mean"),
    ):
        axes.plot(
            waits_ms, values, "D" + line, color=charts.PAPER, markerfacecolor="white",
            linewidth=1.2, label=label,
        )  # fmt: skip
    series = result.series(FIXED)
    x = [w.wait_ms or 0.0 for w in series]
    axes.plot(x, [w.p99 * 1e3 for w in series], "o--", color=charts.BLUE, label="P99")
    axes.plot(x, [w.mean * 1e3 for w in series], "o-", color=charts.BLUE, label="mean")
    axes.set(title=f"Latency of a query, {TITLES[FIXED]}", xlabel="wait in ms", ylabel="ms")
    axes.set_ylim(0, 1.3 * max(w.p99 for w in series) * 1e3)
    axes.legend(loc="upper center", ncols=4, columnspacing=1.2, handlelength=2.4)


FIG5 = Experiment(
    name="fig5",
    title="Figure 5: waiting for a fuller batch",
    workload=f"a closed loop of {CLIENTS} clients in process, which pause",
    systems=tuple(TITLES.values()),
    result=Waits,
    measure=measure,
    targets=targets,
    draw=charts.Chart(
        title="Delayed batching",
        subtitle=f"Two containers that sleep, {CLIENTS} clients in process that pause for "
        f"{THINK * 1e3:g} ms on average. Grey: the paper's scikit-learn and Spark SVMs.",
        size=(11.0, 4.3),
        panels=(_draw_gains, _draw_latencies),
        legend=4,
    ),
)
