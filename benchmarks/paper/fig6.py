"""Figure 6: throughput with one to four replicas of a model on an accelerator."""

from __future__ import annotations

import msgspec
from matplotlib.axes import Axes

from benchmarks import charts
from benchmarks.experiment import Experiment, Session
from benchmarks.paper import models
from benchmarks.paper.closed_loop import ran
from benchmarks.paper.containers import on_one_core, running_containers
from benchmarks.paper.published import PAPER
from benchmarks.targets import Target, at_least, number
from registry.specs import BatchingSpec
from serving.cluster.membership.records import ReplicaRecord

NAME = "accelerator"
MODEL = models.SleepingModel(fixed=0.005, row=0.000_3)
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
    artifact = models.Zoo.of(session).sleeping(NAME, model=MODEL)
    found = []
    with (
        running_containers([artifact], folder=session.folder, replicas=max(REPLICAS)) as containers,
        on_one_core(),
    ):
        for count in REPLICAS:
            one = _run(containers[:count], plan=plan)
            found.append(one)
            session.say(
                f"  {count} replica{'s' if count > 1 else ' '} {one.rate:7,.0f} queries/s, "
                f"batches of {one.batch:.1f}"
            )
    return Scaling(scaled=found)


def _run(containers: list[ReplicaRecord], *, plan: Plan) -> Scaled:
    found = ran(
        containers,
        batching=BatchingSpec(controller="static", max_size=BATCH, wait_ms=0.0),
        inputs=models.questions(INPUTS),
        clients=CLIENTS_PER_REPLICA * len(containers),
        warm_up=plan.warm_up,
        seconds=plan.seconds,
    )
    queries = len(found.latencies)
    return Scaled(
        replicas=len(containers),
        rate=queries / found.elapsed,
        batch=queries / len(found.batches),
    )


def targets(result: Scaling) -> list[Target]:
    known = PAPER.fig6_rates
    return [
        at_least(
            f"throughput, {replicas} replicas : one",
            result.gain(replicas),
            wanted,
            paper=number(known[replicas - 1] / known[0]),
        )
        for replicas, wanted in WANTED.items()
    ]


def _draw(axes: Axes, result: Scaling) -> None:
    rates = [one.rate for one in result.scaled]
    texts = [f"{result.gain(one.replicas):.2f} x\n{number(one.rate)}/s" for one in result.scaled]
    charts.bars(
        axes, REPLICAS, rates, colour=charts.BLUE, texts=texts, label="measured", inside=True
    )
    axes.plot(
        [0.6, 4.4], [0.6 * rates[0], 4.4 * rates[0]], color=charts.INK, linewidth=1.0,
        linestyle=":", label="proportional",
    )  # fmt: skip
    known = [rate / PAPER.fig6_rates[0] * rates[0] for rate in PAPER.fig6_rates]
    charts.papers(axes, REPLICAS, known, label="the paper, relative to its first")
    for replicas, wanted in WANTED.items():
        axes.hlines(
            wanted * rates[0], replicas - 0.33, replicas + 0.33, color=charts.LIMIT,
            linewidth=1.4, label="wanted at least" if replicas == 2 else "",
        )  # fmt: skip
    axes.set(xlabel="replicas", ylabel="queries/s", xlim=(0.4, 4.6))
    axes.set_xticks(REPLICAS)
    axes.yaxis.set_major_formatter(charts.THOUSANDS)
    axes.legend(loc="upper left")


FIG6 = Experiment(
    name="fig6",
    title="Figure 6: scaling by replicas",
    workload=f"a closed loop in process, {CLIENTS_PER_REPLICA} clients a replica",
    systems=tuple(f"{count} replicas" for count in REPLICAS),
    result=Scaling,
    measure=measure,
    targets=targets,
    draw=charts.Chart(
        title="Scaling by replicas",
        subtitle=f"A model that sleeps {MODEL.seconds(BATCH) * 1e3:.1f} ms for {BATCH} inputs of "
        "784 numbers. Grey: the paper's GPUs, 10 Gbps.",
        size=(7.4, 4.4),
        panels=(_draw,),
    ),
)
