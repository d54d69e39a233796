"""Ensembles of up to sixteen models, each of which is late now and then, asked over sockets."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from benchmarks.figures.experiment import run_on_uvloop
from benchmarks.figures.quantiles import P99, percentile
from benchmarks.paper.containers import on_one_core, records, running_models
from benchmarks.paper.frontend import version_of
from benchmarks.paper.models import Straggler
from benchmarks.paper.open_loop import Phase, arrivals
from benchmarks.paper.pictures import halves, varied
from benchmarks.paper.session import Session
from benchmarks.paper.web import application_of, snapshot_of, web_process
from registry.specs import ApplicationSpec, BatchingSpec, VersionSpec
from selection.answers.combine import combine
from serving.cluster.membership.records import ReplicaRecord
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
DEFAULT = b"-1"
MITIGATED, BLOCKING = "mitigated", "blocking"


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

    @property
    def mitigated_p99_ms(self) -> float:
        return p99_ms(self.mitigated)

    @property
    def blocking_p99_ms(self) -> float:
        return p99_ms(self.blocking)


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
        session.zoo.straggling(f"forest-{n}", model=MODEL, answers=row.tolist(), seed=n)
        for n, row in enumerate(table, start=1)
    ]
    with running_models(artifacts, folder=session.folder) as containers, on_one_core():
        return run_on_uvloop(
            _run(
                session,
                plan=plan,
                containers=records(containers),
                table=table,
                truth=[b"%d" % label for label in labels],
            )
        )


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
    versions = [
        version_of(f"forest-{n}", batching=batching, version_id=n) for n in range(1, len(table) + 1)
    ]
    applications = {
        (size, kind): _application(kind, size=size, versions=versions)
        for size in plan.sizes
        for kind in (MITIGATED, BLOCKING)
    }
    snapshot = snapshot_of(versions, applications=applications.values())
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


def _application(kind: str, *, size: int, versions: Sequence[VersionSpec]) -> ApplicationSpec:
    return application_of(
        f"{kind}-{size}",
        id=2 * size + (kind == BLOCKING),
        versions=versions[:size],
        slo_ms=SLO_MS if kind == MITIGATED else PATIENT_MS,
        default_output=DEFAULT,
    )


class Exam(NamedTuple):
    """The questions' true answers as JSON text, and on which all models together are right."""

    truth: list[bytes]
    full: list[bool]

    @classmethod
    def of(cls, table: NDArray[np.int64], *, truth: list[bytes]) -> Exam:
        """`table` holds what each model (row) answers to each question (column)."""
        names = [f"forest-{n}:1" for n in range(1, len(table) + 1)]
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
        f"  {one.size:2} models  P99 {one.mitigated_p99_ms:6.1f} ms, waiting for all "
        f"{one.blocking_p99_ms:6.1f} ms; {one.in_time:.0%} in time, {one.answered:.1%} answered, "
        f"accuracy {one.accuracy_of_answered:.1%} of those, {one.full:.1%} by all models"
    )
