"""Figure 9: ensembles of up to sixteen models, each of which is late now and then."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

import msgspec
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from benchmarks import charts
from benchmarks.experiment import Experiment, Session, run_on_uvloop
from benchmarks.generator import Phase, arrivals
from benchmarks.paper.containers import on_one_core, running_containers
from benchmarks.paper.frontend import web_process
from benchmarks.paper.models import Straggler, Zoo
from benchmarks.paper.pictures import halves, varied
from benchmarks.paper.published import PAPER
from benchmarks.quantiles import P99, percentile
from benchmarks.targets import Target, at_least, at_most, number
from registry.specs import ApplicationSpec, BatchingSpec
from selection.answers.combine import combine
from serving.cluster.membership.records import ReplicaRecord
from serving.testing.specs import application_spec, routes_to, snapshot_of, version_spec
from serving.web.runtime import Runtime

SIZES = (1, 2, 4, 6, 8, 10, 12, 14, 16)
SLO_MS = 20.0
# Every model is late by itself; one that is keeps the queries behind it waiting as well.
MODEL = Straggler(usual=0.004, chance=0.05, late=(0.050, 0.150))
BATCH = 64
RATE = 50.0
QUESTIONS = 2_000
# Each forest has learned from so many pictures of its own, and is as wrong as the paper's.
LEARNED, TREES, DEPTH = 800, 60, 16
NOISE, SHIFT = 1.0, 1
# No answer is waited for any longer where all are waited for.
PATIENT_MS = 10_000.0
MITIGATED, BLOCKING = "mitigated", "blocking"
# What the mitigated P99 may be beyond the objective, and what the blocking one is at least.
GRACE_MS, BLOCKING_FACTOR = 3.0, 3.0
# How much accuracy may be lost, in points, where at least so many answer.
LOSS_POINTS, ENOUGH = 2.0, 0.6
# A lone model that is late leaves nothing to answer with; with so many one is always there.
MANY = 4


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of each measurement; `warm_up` comes before the first."""

    warm_up: float
    seconds: float
    sizes: tuple[int, ...] = SIZES


FULL = Plan(warm_up=4.0, seconds=15.0)
QUICK = Plan(warm_up=3.0, seconds=4.0, sizes=(1, 4, 16))


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """One query: seconds from when it was due, models that answered in time, what was said.

    `right` is whether that was right, `full` whether all models together would have been.
    """

    seconds: float
    models: int
    default: bool
    right: bool
    full: bool


class Ensemble(msgspec.Struct, frozen=True, kw_only=True):
    """So many models asked, by an application with the objective and by one that waits for all."""

    size: int
    mitigated: list[Answer]
    blocking: list[Answer]

    @property
    def in_time(self) -> float:
        """The share of the models that answered in time."""
        return sum(answer.models for answer in self.mitigated) / (self.size * len(self.mitigated))

    @property
    def answered(self) -> float:
        """The share of queries that some model answered in time."""
        return sum(not answer.default for answer in self.mitigated) / len(self.mitigated)

    @property
    def accuracy(self) -> float:
        """Right answers among all queries; a default output is none."""
        return _share([answer.right for answer in self.mitigated])

    @property
    def full(self) -> float:
        """What the accuracy would be if all models had answered."""
        return _share([answer.full for answer in self.mitigated])

    @property
    def accuracy_of_answered(self) -> float:
        return _share([answer.right for answer in self.mitigated if not answer.default])

    @property
    def full_of_answered(self) -> float:
        """What the accuracy of the queries answered would be if all models had answered."""
        return _share([answer.full for answer in self.mitigated if not answer.default])


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else math.nan


class Stragglers(msgspec.Struct, frozen=True, kw_only=True):
    ensembles: list[Ensemble]


def p99_ms(answers: Sequence[Answer]) -> float:
    return percentile([answer.seconds for answer in answers], P99) * 1e3


def mean_ms(answers: Sequence[Answer]) -> float:
    return sum(answer.seconds for answer in answers) / len(answers) * 1e3


def measure(session: Session) -> Stragglers:
    return stragglers(session, plan=QUICK if session.quick else FULL)


def stragglers(session: Session, *, plan: Plan) -> Stragglers:
    most = max(plan.sizes)
    table, labels = answers_of_forests(most)
    artifacts = [
        Zoo.of(session).straggling(f"m{n}", model=MODEL, answers=row.tolist(), seed=n)
        for n, row in enumerate(table, start=1)
    ]
    truth = [b"%d" % label for label in labels]
    with running_containers(artifacts, folder=session.folder) as containers, on_one_core():
        work = _run(session, plan=plan, containers=containers, table=table, truth=truth)
        return run_on_uvloop(work)


def answers_of_forests(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what each of `count` random forests answers to each question, and the truth."""
    generator = np.random.default_rng(1)
    learned_from, asked = halves(1)
    questions = varied(
        asked.some(QUESTIONS, generator=generator), noise=NOISE, shift=SHIFT, generator=generator
    )
    rows = []
    for seed in range(count):
        own = varied(
            learned_from.some(LEARNED, generator=generator).repeated(4),
            noise=NOISE, shift=SHIFT, generator=generator,
        )  # fmt: skip
        forest = RandomForestClassifier(TREES, max_depth=DEPTH, random_state=seed, n_jobs=1)
        rows.append(forest.fit(own.images, own.labels).predict(questions.images))
    return np.array(rows), questions.labels


async def _run(
    session: Session,
    *,
    plan: Plan,
    containers: Sequence[ReplicaRecord],
    table: NDArray[np.int64],
    truth: list[bytes],
) -> Stragglers:
    batching = BatchingSpec(controller="static", max_size=BATCH, wait_ms=0.0)
    versions = [version_spec(n, batching=batching) for n in range(1, len(table) + 1)]
    applications = {
        (size, kind): _application(kind, size=size)
        for size in plan.sizes
        for kind in (MITIGATED, BLOCKING)
    }
    snapshot = snapshot_of(*applications.values(), versions=versions)
    ensembles = []
    async with web_process(snapshot, containers=containers) as runtime:
        everyone = applications[max(plan.sizes), BLOCKING]
        await _ask(runtime, everyone, seconds=plan.warm_up, exam=Exam.of(table, truth=truth))
        for size in plan.sizes:
            exam = Exam.of(table[:size], truth=truth)
            mitigated, blocking = [
                await _ask(runtime, applications[size, kind], seconds=plan.seconds, exam=exam)
                for kind in (MITIGATED, BLOCKING)
            ]
            ensembles.append(Ensemble(size=size, mitigated=mitigated, blocking=blocking))
            _tell(session, ensembles[-1])
    return Stragglers(ensembles=ensembles)


def _application(kind: str, *, size: int) -> ApplicationSpec:
    return application_spec(
        id=2 * size + (kind == BLOCKING),
        name=f"{kind}-{size}",
        slo_ms=SLO_MS if kind == MITIGATED else PATIENT_MS,
        routes=routes_to(*range(1, size + 1)),
        public=True,
        cache=False,
    )


class Exam(NamedTuple):
    """The questions' true answers as JSON text, and on which all models together are right."""

    truth: list[bytes]
    full: list[bool]

    @classmethod
    def of(cls, table: NDArray[np.int64], *, truth: list[bytes]) -> Exam:
        """`table` holds what each model (row) answers to each question (column)."""
        names = [f"m{n}:1" for n in range(1, len(table) + 1)]
        weights = dict.fromkeys(names, 1.0 / len(names))
        full = []
        for column, label in zip(table.T.tolist(), truth, strict=True):
            outputs = {name: b"%d" % digit for name, digit in zip(names, column, strict=True)}
            full.append(combine(outputs, weights=weights, asked=names).output == label)
        return cls(truth, full)


async def _ask(
    runtime: Runtime, application: ApplicationSpec, *, seconds: float, exam: Exam
) -> list[Answer]:
    """Ask one question after the other when it is due, and return when all are answered."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[Answer]] = []
    zero = loop.time()
    for n, due in enumerate(arrivals([Phase(rate=RATE, seconds=seconds)], seed=application.id)):
        if (pause := zero + due - loop.time()) > 0.0:
            await asyncio.sleep(pause)
        asked = _one(runtime, application, place=n % len(exam.truth), due=zero + due, exam=exam)
        tasks.append(loop.create_task(asked))
    return list(await asyncio.gather(*tasks))


async def _one(
    runtime: Runtime, application: ApplicationSpec, *, place: int, due: float, exam: Exam
) -> Answer:
    query = runtime.processor.begin(application, input=b"[%d]" % place, arrived=monotonic())
    await query.settled()
    prediction = query.prediction()
    return Answer(
        seconds=asyncio.get_running_loop().time() - due,
        models=len(prediction.models),
        default=prediction.default_explanation is not None,
        right=prediction.output == exam.truth[place],
        full=exam.full[place],
    )


def _tell(session: Session, one: Ensemble) -> None:
    session.say(
        f"  {one.size:2} models  P99 {p99_ms(one.mitigated):6.1f} ms, waiting for all "
        f"{p99_ms(one.blocking):6.1f} ms; {one.in_time:.0%} in time, {one.answered:.1%} answered, "
        f"accuracy {one.accuracy_of_answered:.1%} of those, {one.full:.1%} by all models"
    )


def targets(result: Stragglers) -> list[Target]:
    largest = result.ensembles[-1]
    known = {one.size: f"{number(one.blocking_p99_ms)} ms" for one in PAPER.fig9}
    worst = max(result.ensembles, key=lambda one: p99_ms(one.mitigated))
    enough = [one for one in result.ensembles if one.in_time >= ENOUGH]
    answered = [(one.full_of_answered, one.accuracy_of_answered) for one in enough]
    of_all = [(one.full, one.accuracy) for one in enough if one.size >= MANY]
    return [
        at_most(
            f"P99 with mitigation, worst of all sizes ({worst.size})",
            p99_ms(worst.mitigated),
            SLO_MS + GRACE_MS,
            unit=" ms",
            paper=f"{number(max(one.mitigated_p99_ms for one in PAPER.fig9))} ms",
        ),
        at_least(
            f"P99 waiting for all {largest.size}",
            p99_ms(largest.blocking),
            BLOCKING_FACTOR * SLO_MS,
            unit=" ms",
            paper=known.get(largest.size, ""),
        ),
        at_most(
            f"accuracy lost where ≥ {ENOUGH:.0%} are in time, of queries answered",
            _points_lost(answered),
            LOSS_POINTS,
            unit=" points",
        ),
        at_most(
            f"the same with ≥ {MANY} models, of all queries",
            _points_lost(of_all),
            LOSS_POINTS,
            unit=" points",
        ),
    ]


def _points_lost(pairs: Sequence[tuple[float, float]]) -> float:
    """The largest difference in points between the first and the second of each pair."""
    return max((100 * (full - seen) for full, seen in pairs), default=math.nan)


def _share_sizes(axes: Axes) -> None:
    axes.set(xlabel="models in the ensemble", xlim=(0, 17))
    axes.set_xticks([1, 4, 8, 12, 16])


def _draw_latency(axes: Axes, result: Stragglers) -> None:
    sizes = [one.size for one in result.ensembles]
    for kind, colour, name in (
        (BLOCKING, charts.ORANGE, "waiting for all"), (MITIGATED, charts.BLUE, "mitigated")
    ):  # fmt: skip
        answers = [getattr(one, kind) for one in result.ensembles]
        axes.plot(sizes, [p99_ms(one) for one in answers], "o-", color=colour, label=f"{name}, P99")
        axes.plot(
            sizes, [mean_ms(one) for one in answers], color=colour, linewidth=1.0,
            linestyle=(0, (4, 2)), label=f"{name}, mean",
        )  # fmt: skip
    paper = PAPER.fig9
    for known, label in (
        ([one.blocking_p99_ms for one in paper], ""),
        ([one.mitigated_p99_ms for one in paper], "the paper's P99s"),
    ):
        charts.papers(axes, [one.size for one in paper], known, label=label, hollow=False)
    charts.limit(axes, SLO_MS)
    top = max(p99_ms(one.blocking) for one in result.ensembles)
    _share_sizes(axes)
    axes.set(title="Latency", ylabel="ms", ylim=(0, 1.75 * max(top, 165)))
    axes.legend(loc="upper left", fontsize=8)


def _draw_in_time(axes: Axes, result: Stragglers) -> None:
    shares = [one.in_time for one in result.ensembles]
    charts.bars(
        axes,
        [one.size for one in result.ensembles],
        [100 * share for share in shares],
        colour=charts.BLUE,
        texts=[f"{share:.0%}" for share in shares],
        width=0.8,
    )
    paper = PAPER.fig9
    known = [100 * one.in_time for one in paper]
    charts.papers(axes, [one.size for one in paper], known, hollow=False)
    _share_sizes(axes)
    axes.set(title="Answers in time", ylabel="% of the models", ylim=(0, 108))


def _draw_accuracy(axes: Axes, result: Stragglers) -> None:
    sizes = [one.size for one in result.ensembles]
    for values, colour, marker, name in (
        ([one.full for one in result.ensembles], charts.TEAL, "-", "all models"),
        (
            [one.accuracy_of_answered for one in result.ensembles],
            charts.BLUE,
            "o-",
            "those in time",
        ),
        ([one.accuracy for one in result.ensembles], charts.ROSE, "o:", "default counted as wrong"),
    ):
        axes.plot(sizes, [100 * value for value in values], marker, color=colour, label=name)
    known = [100 * one.accuracy for one in PAPER.fig9]
    charts.papers(axes, [one.size for one in PAPER.fig9], known, label="the paper", hollow=False)
    _share_sizes(axes)
    axes.set(title="Accuracy", ylabel="% right", ylim=(50, 101))
    axes.legend(loc="lower right", fontsize=8)


FIG9 = Experiment(
    name="fig9",
    title="Figure 9: stragglers",
    workload=f"an open loop in process, {RATE:g} queries/s",
    systems=(MITIGATED, BLOCKING),
    result=Stragglers,
    measure=measure,
    targets=targets,
    draw=charts.Chart(
        title="Ensembles with stragglers",
        subtitle=f"Each model takes {MODEL.usual * 1e3:g} ms a batch, and with {MODEL.chance:.0%} "
        f"chance {MODEL.late[0] * 1e3:g} to {MODEL.late[1] * 1e3:g} ms; {RATE:g} queries/s, "
        f"objective {SLO_MS:g} ms. Grey: the paper.",
        size=(11.4, 4.3),
        panels=(_draw_latency, _draw_in_time, _draw_accuracy),
    ),
)
