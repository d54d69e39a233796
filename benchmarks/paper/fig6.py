"""Figure 6: throughput with one to four replicas of a model on an accelerator."""

from __future__ import annotations

import msgspec
from matplotlib.figure import Figure

from benchmarks.figures import style
from benchmarks.figures.claims import Claim, number
from benchmarks.figures.experiment import Experiment, run_on_uvloop
from benchmarks.paper import models, published
from benchmarks.paper.closed_loop import ClosedLoop
from benchmarks.paper.containers import Container, on_one_core, running_containers
from benchmarks.paper.frontend import front_end, version_of
from benchmarks.paper.models import SleepingModel
from benchmarks.paper.session import Session
from registry.specs import BatchingSpec

NAME = "accelerator"
MODEL = SleepingModel(fixed=0.005, row=0.000_3)
# As in the paper a batch of fixed size, though of 512 there.
BATCH = 64
CLIENTS_PER_REPLICA = 4 * BATCH
REPLICAS = (1, 2, 3, 4)
WANTED = {2: 1.9, 3: 2.7, 4: 3.4}
INPUTS = 1_000


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. New replicas are spared for the first two, which the warm-up has to cover."""

    warm_up: float
    seconds: float


FULL = Plan(warm_up=3.0, seconds=5.0)
QUICK = Plan(warm_up=2.5, seconds=1.0)


class Scaled(msgspec.Struct, frozen=True, kw_only=True):
    replicas: int
    rate: float
    batch: float


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    scaled: list[Scaled]

    def gain(self, replicas: int) -> float:
        rates = {one.replicas: one.rate for one in self.scaled}
        return rates[replicas] / rates[1]


def measure(session: Session) -> Scaling:
    plan = QUICK if session.quick else FULL
    artifact = session.zoo.sleeping(NAME, model=MODEL)
    found = []
    with (
        running_containers(artifact, folder=session.folder, count=max(REPLICAS)) as containers,
        on_one_core(),
    ):
        for count in REPLICAS:
            one = run_on_uvloop(_run(containers[:count], plan=plan))
            found.append(one)
            session.say(
                f"  {count} replica{'s' if count > 1 else ' '} {one.rate:7,.0f} queries/s, "
                f"batches of {one.batch:.1f}"
            )
    return Scaling(scaled=found)


async def _run(containers: list[Container], *, plan: Plan) -> Scaled:
    batching = BatchingSpec(controller="static", max_size=BATCH, wait_ms=0.0)
    version = version_of(NAME, batching=batching)
    async with front_end(containers, version=version) as engine:
        loop = ClosedLoop(
            engine,
            version=version,
            inputs=models.questions(INPUTS),
            clients=CLIENTS_PER_REPLICA * len(containers),
        )
        elapsed = await loop.run(warm_up=plan.warm_up, seconds=plan.seconds)
        queries, batches = len(loop.latencies), len(engine.batches)
    return Scaled(replicas=len(containers), rate=queries / elapsed, batch=queries / batches)


def claims(result: Scaling) -> list[Claim]:
    return [
        Claim(
            figure="fig6",
            what=f"throughput, {replicas} replicas : one",
            seen=result.gain(replicas),
            at_least=wanted,
            paper=number(published.FIG6_RATES[replicas - 1] / published.FIG6_RATES[0]),
        )
        for replicas, wanted in WANTED.items()
    ]


def draw(result: Scaling) -> Figure:
    figure = style.styled(
        title="Scaling by replicas",
        subtitle=f"A model that sleeps {MODEL.seconds(BATCH) * 1e3:.1f} ms for {BATCH} inputs of "
        "784 numbers. Grey: the paper's GPUs, 10 Gbps.",
        width=7.4,
        height=4.4,
    )
    (axes,) = style.panels(figure, rows=1, columns=1)
    rates = [one.rate for one in result.scaled]
    axes.bar(REPLICAS, rates, width=0.56, color=style.BLUE, label="measured")
    axes.plot(
        [0.6, 4.4], [0.6 * rates[0], 4.4 * rates[0]], color=style.INK, linewidth=1.0,
        linestyle=":", label="proportional",
    )  # fmt: skip
    known = [rate / published.FIG6_RATES[0] * rates[0] for rate in published.FIG6_RATES]
    axes.plot(
        REPLICAS, known, "D", markersize=6, markerfacecolor="white", color=style.QUIET,
        label="the paper, relative to its first",
    )  # fmt: skip
    for one in result.scaled:
        wanted = WANTED.get(one.replicas)
        if wanted is not None:
            axes.hlines(
                wanted * rates[0], one.replicas - 0.33, one.replicas + 0.33, color=style.LIMIT,
                linewidth=1.4, label="wanted at least" if one.replicas == 2 else "",
            )  # fmt: skip
        axes.annotate(
            f"{result.gain(one.replicas):.2f} x\n{number(one.rate)}/s", (one.replicas, 0),
            xytext=(0, 8), textcoords="offset points", ha="center", color="white",
            fontweight="bold", fontsize=9,
        )  # fmt: skip
    axes.set(xlabel="replicas", ylabel="queries/s", xlim=(0.4, 4.6))
    axes.set_xticks(REPLICAS)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper left")
    return figure


FIG6 = Experiment(
    name="fig6",
    title="Figure 6: scaling by replicas",
    result=Scaling,
    measure=measure,
    claims=claims,
    draw=draw,
)
