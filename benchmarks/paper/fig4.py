"""Figure 4: throughput and latency with AIMD, quantile regression and no batching at all."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import style
from benchmarks.figures.claims import Claim, number
from benchmarks.figures.experiment import Experiment, run_on_uvloop
from benchmarks.figures.quantiles import P99, percentile
from benchmarks.paper import models, published
from benchmarks.paper.closed_loop import ClosedLoop
from benchmarks.paper.containers import Container, on_one_core, running_containers
from benchmarks.paper.frontend import front_end, version_of
from benchmarks.paper.session import Session
from registry.specs import BatchingSpec

SLO = published.SLO_SECONDS
# More than two of the largest batches hold, so that the queue never runs dry.
CLIENTS = 5_000
INPUTS = 1_000
AIMD, QUANTILES, NONE = "aimd", "quantile_regression", "none"
TITLES = {AIMD: "AIMD", QUANTILES: "quantile regression", NONE: "no batching"}
COLOURS = {AIMD: style.BLUE, QUANTILES: style.TEAL, NONE: style.ORANGE}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of each run; controllers that learn get `learning` to find their size."""

    learning: float
    warm_up: float
    seconds: float
    names: tuple[str, ...] = tuple(models.TITLES)
    clients: int = CLIENTS


FULL = Plan(learning=6.0, warm_up=0.5, seconds=4.0)
QUICK = Plan(learning=1.2, warm_up=0.2, seconds=0.7)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One model under one controller. Latencies are those of batches, in seconds."""

    model: str
    controller: str
    rate: float
    batch: float
    mean: float
    p99: float


class Strategies(msgspec.Struct, frozen=True, kw_only=True):
    measured: list[Measured]

    def of(self, model: str, controller: str) -> Measured:
        return next(m for m in self.measured if (m.model, m.controller) == (model, controller))

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(m.model for m in self.measured))


def measure(session: Session) -> Strategies:
    return strategies(session, plan=QUICK if session.quick else FULL)


def strategies(session: Session, *, plan: Plan) -> Strategies:
    found = []
    for name in plan.names:
        artifact = session.zoo.artifact(name)
        with (
            running_containers(artifact, folder=session.folder) as (container,),
            on_one_core(),
        ):
            for controller in TITLES:
                work = _run(container, model=name, controller=controller, plan=plan)
                one = run_on_uvloop(work)
                found.append(one)
                session.say(
                    f"  {models.TITLES[name]:16} {TITLES[controller]:20} {one.rate:8,.0f} "
                    f"queries/s, batches of {one.batch:6,.1f}, P99 {one.p99 * 1e3:6.2f} ms"
                )
    return Strategies(measured=found)


async def _run(container: Container, *, model: str, controller: str, plan: Plan) -> Measured:
    version = version_of(model, batching=BatchingSpec(controller=controller, wait_ms=0.0))
    async with front_end([container], version=version, batch_budget=SLO) as engine:
        loop = ClosedLoop(
            engine, version=version, inputs=models.questions(INPUTS), clients=plan.clients
        )
        warm_up = plan.warm_up if controller == NONE else plan.learning
        elapsed = await loop.run(warm_up=warm_up, seconds=plan.seconds)
        batches = list(engine.batches)
    seconds = [batch.seconds for batch in batches]
    queries = sum(batch.size for batch in batches)
    return Measured(
        model=model,
        controller=controller,
        rate=queries / elapsed,
        batch=queries / len(batches),
        mean=sum(seconds) / len(seconds),
        p99=percentile(seconds, P99),
    )


def claims(result: Strategies) -> list[Claim]:
    def rates(model: str, controller: str) -> float:
        return result.of(model, AIMD).rate / result.of(model, controller).rate

    worst = min(result.models, key=lambda model: rates(model, QUANTILES))
    found = [
        Claim(
            figure="fig4",
            what="throughput, AIMD : no batching, linear SVM",
            seen=rates(models.LINEAR_SVM, NONE),
            at_least=5.0,
            paper=f"{published.FIG4_GAIN}",
        ),
        Claim(
            figure="fig4",
            what=f"throughput, AIMD : quantile regression, worst of all ({models.TITLES[worst]})",
            seen=rates(worst, QUANTILES),
            at_least=0.85,
            paper=number(published.FIG4[worst][AIMD].rate / published.FIG4[worst][QUANTILES].rate),
        ),
    ]
    return found + [_p99_claim(result.of(model, AIMD)) for model in result.models]


def _p99_claim(measured: Measured) -> Claim:
    # A batch of the kernel SVM is a handful of queries, each a good part of the objective.
    allowed = 1.5 if measured.model == models.KERNEL_SVM else 1.1
    return Claim(
        figure="fig4",
        what=f"batch P99 with AIMD, {models.TITLES[measured.model]}",
        seen=measured.p99 * 1e3,
        at_most=allowed * SLO * 1e3,
        unit=" ms",
        paper=f"{published.FIG4[measured.model][AIMD].p99_ms:.3g} ms",
    )


def draw(result: Strategies) -> Figure:
    figure = style.styled(
        title="Batch size strategies",
        subtitle="Closed loop in process, cache off, one container on one core; what one batch may "
        f"take is the objective of {SLO * 1e3:g} ms. Diamonds: the paper (from its authors' logs).",
        width=11.0,
        height=6.8,
    )
    rates, latencies = style.panels(figure, rows=2, columns=1, sharex=True)
    _draw_bars(rates, result, ours=lambda m: m.rate, theirs=lambda p: p.rate, floor=30)
    _draw_bars(latencies, result, ours=lambda m: m.p99 * 1e3, theirs=lambda p: p.p99_ms, floor=0.05)
    rates.set(title="Throughput", ylabel="queries/s")
    latencies.set(title="P99 latency of a batch", ylabel="ms")
    style.limit(latencies, SLO * 1e3, label="objective")
    style.legend(figure, rates, columns=4)
    return figure


def _draw_bars(
    axes: Axes,
    result: Strategies,
    *,
    ours: Callable[[Measured], float],
    theirs: Callable[[published.Strategy], float],
    floor: float,
) -> None:
    """Bars on a logarithmic scale from `floor`, where each says what it amounts to."""
    width = 0.26
    for offset, (controller, title) in zip((-width, 0.0, width), TITLES.items(), strict=True):
        places = [position + offset for position in range(len(result.models))]
        values = [ours(result.of(model, controller)) for model in result.models]
        axes.bar(places, values, width=0.9 * width, color=COLOURS[controller], label=title)
        for place, value in zip(places, values, strict=True):
            inside = value > 2 * floor
            axes.annotate(
                number(value), (place, floor if inside else value), xytext=(0, 3),
                textcoords="offset points", ha="center", fontsize=7.5, fontweight="bold",
                color="white" if inside else style.INK,
            )  # fmt: skip
        known = [theirs(published.FIG4[model][controller]) for model in result.models]
        axes.plot(
            places, known, "D", markersize=5, markerfacecolor="white", color=style.QUIET,
            label="the paper" if controller == NONE else None,
        )  # fmt: skip
    style.logarithmic(axes.yaxis)
    axes.set_ylim(bottom=floor)
    axes.set_xlim(-0.55, len(result.models) - 0.45)
    axes.set_xticks(range(len(result.models)), [models.TITLES[model] for model in result.models])
    axes.grid(visible=False, axis="x")


FIG4 = Experiment(
    name="fig4",
    title="Figure 4: strategies for the batch size",
    result=Strategies,
    measure=measure,
    claims=claims,
    draw=draw,
)
