"""Figure 9: ensembles of up to sixteen models, each of which is late now and then."""

import asyncio
from collections.abc import Sequence
from itertools import product
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from benchmarks.charts import Panel
from benchmarks.experiment import Experiment, Session, run_on_uvloop
from benchmarks.frames import P99, Frame, Record, Records, of, percentile
from benchmarks.generator import Phase, arrivals
from benchmarks.paper import PAPER
from benchmarks.paper.frontend import web_process
from benchmarks.paper.models import coded, running_containers
from benchmarks.paper.pictures import halves, varied
from benchmarks.telling import Target, number
from core.specs import ApplicationSpec, BatchingSpec
from selection.answers.combine import combine
from serving.cluster.membership.records import ReplicaRecord
from serving.testing.specs import application_spec, routes_to, snapshot_of, version_spec
from serving.web.runtime import Runtime

SIZES, QUICK_SIZES = (1, 2, 4, 6, 8, 10, 12, 14, 16), (1, 4, 16)
SLO_MS = 20.0
# Every model is late by itself; one that is keeps the queries behind it waiting as well.
USUAL, CHANCE, LATE = 0.004, 0.05, (0.050, 0.150)
BATCH = 64
RATE = 50.0
QUESTIONS = 2_000
# Each forest has learned from so many pictures of its own, and is as wrong as the paper's.
LEARNED, TREES, DEPTH, NOISE = 800, 60, 16, 1.0
MITIGATED, BLOCKING = "mitigated", "blocking"
# No answer is waited for any longer where all are waited for.
OBJECTIVES_MS = {MITIGATED: SLO_MS, BLOCKING: 10_000.0}
# What the mitigated P99 may be beyond the objective, and what the blocking one is at least.
GRACE_MS, BLOCKING_FACTOR = 3.0, 3.0
# How much accuracy may be lost, in points, where at least so many answer.
LOSS_POINTS, ENOUGH = 2.0, 0.6
# A lone model that is late leaves nothing to answer with; with so many one is always there.
MANY = 4


def measure(session: Session) -> Records:
    sizes, seconds = (QUICK_SIZES, 4.0) if session.quick else (SIZES, 15.0)
    return stragglers(session, sizes, seconds=seconds, warm_up=4.0)


def stragglers(
    session: Session, sizes: Sequence[int], *, seconds: float, warm_up: float
) -> Records:
    table, labels = answers_of_forests(max(sizes))
    artifacts = [
        coded(session, f"m{n}", fixed=USUAL, chance=CHANCE, late=LATE, answers=bytes(row), seed=n)
        for n, row in enumerate(table.tolist(), start=1)
    ]
    truth = [b"%d" % label for label in labels]
    batching = BatchingSpec(controller="static", max_size=BATCH, wait_ms=0.0)
    versions = [version_spec(n, batching=batching) for n in range(1, len(table) + 1)]
    cases = {
        (size, kind): application_spec(
            id=2 * size + (kind == BLOCKING), name=f"{kind}-{size}", slo_ms=OBJECTIVES_MS[kind],
            routes=routes_to(*range(1, size + 1)), public=True, cache=False,
        )
        for size, kind in product(sizes, OBJECTIVES_MS)
    }  # fmt: skip
    snapshot = snapshot_of(*cases.values(), versions=versions)

    async def work(containers: Sequence[ReplicaRecord]) -> Records:
        found: Records = []
        async with web_process(snapshot, containers=containers) as runtime:
            await _ask(runtime, cases[max(sizes), BLOCKING], seconds=warm_up, truth=truth)
            for (size, kind), application in cases.items():
                full = right_together(table[:size], truth=truth)
                for record in await _ask(runtime, application, seconds=seconds, truth=truth):
                    together = {"size": size, "kind": kind, "full": full[record["place"]]}
                    found.append(record | together)
                session.say(f"  {size:2} models, {kind}: {len(found):,} queries so far")
        return found

    with running_containers(artifacts, folder=session.folder) as containers:
        return run_on_uvloop(work(containers))


def answers_of_forests(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what each of `count` random forests answers to each question, and the truth."""
    generator = np.random.default_rng(1)
    learned_from, asked = halves(1)
    questions = varied(asked.some(QUESTIONS, generator=generator), noise=NOISE, generator=generator)
    rows = []
    for seed in range(count):
        own = learned_from.some(LEARNED, generator=generator).repeated(4)
        pictures = varied(own, noise=NOISE, generator=generator)
        forest = RandomForestClassifier(TREES, max_depth=DEPTH, random_state=seed, n_jobs=1)
        rows.append(forest.fit(pictures.images, pictures.labels).predict(questions.images))
    return np.array(rows), questions.labels


def right_together(table: NDArray[np.int64], *, truth: list[bytes]) -> list[bool]:
    """On which questions (columns) all models (rows) together are right."""
    names = [f"m{n}:1" for n in range(1, len(table) + 1)]
    weights = dict.fromkeys(names, 1.0 / len(names))
    right = []
    for column, label in zip(table.T.tolist(), truth, strict=True):
        outputs = {name: b"%d" % digit for name, digit in zip(names, column, strict=True)}
        right.append(combine(outputs, weights=weights, asked=names).output == label)
    return right


async def _ask(
    runtime: Runtime, application: ApplicationSpec, *, seconds: float, truth: list[bytes]
) -> Records:
    """Ask one question after the other when it is due, and return when all are answered.
    Milliseconds are from when it was due; `models` answered in time.
    """
    loop = asyncio.get_running_loop()
    zero = loop.time()

    async def one(place: int, due: float) -> Record:
        query = runtime.processor.begin(application, input=b"[%d]" % place, arrived=monotonic())
        await query.settled()
        prediction, ms = query.prediction(), 1e3 * (loop.time() - due)
        answered, default = len(prediction.models), prediction.default_explanation is not None
        right = prediction.output == truth[place]
        told = {"models": answered, "default": default, "right": right}
        return {"place": place, "ms": ms} | told

    tasks = []
    for n, due in enumerate(arrivals([Phase(RATE, seconds)], seed=application.id).tolist()):
        await asyncio.sleep(max(0.0, zero + due - loop.time()))
        tasks.append(loop.create_task(one(n % len(truth), zero + due)))
    return list(await asyncio.gather(*tasks))


def summed_up(result: Frame) -> Frame:
    """A row for each size: P99s and means in ms, the share of models in time, accuracies. Of the
    mitigated application. A default output counts as wrong in `accuracy`; `answered` and
    `full_answered` are over the other queries.
    """
    rows = {}
    for size in result["size"].unique():
        seen = of(result, size=size, kind=MITIGATED)
        blocking = of(result, size=size, kind=BLOCKING)["ms"]
        answered = seen[~seen["default"].astype(bool)]
        rows[size] = {
            "p99": percentile(seen["ms"], P99), "mean": seen["ms"].mean(),
            "blocking_p99": percentile(blocking, P99), "blocking_mean": blocking.mean(),
            "in_time": seen["models"].mean() / size, "accuracy": seen["right"].mean(),
            "full": seen["full"].mean(), "answered": answered["right"].mean(),
            "full_answered": answered["full"].mean(),
        }  # fmt: skip
    return Frame.from_dict(rows, orient="index")


def targets(result: Frame) -> list[Target]:
    rows, paper = summed_up(result), PAPER["fig9"]
    largest, worst = rows.index[-1], rows["p99"].idxmax()
    known = {size: f"{number(blocking)} ms" for size, _, blocking, _, _ in paper}
    enough = rows[rows["in_time"] >= ENOUGH]
    many = enough[enough.index >= MANY]
    answered = 100 * (enough["full_answered"] - enough["answered"]).max()
    of_all = 100 * (many["full"] - many["accuracy"]).max()
    lost = f"accuracy lost where ≥ {ENOUGH:.0%} are in time, of queries answered"
    every = f"the same with ≥ {MANY} models, of all queries"
    mitigated = f"P99 with mitigation, worst of all sizes ({worst})"
    theirs = f"{number(max(seen for _, seen, *_ in paper))} ms"
    all_of = f"P99 waiting for all {largest}", rows["blocking_p99"].iloc[-1]
    return [
        Target(mitigated, rows["p99"].max(), f"≤ {SLO_MS + GRACE_MS:g} ms", theirs),
        Target(*all_of, f"≥ {BLOCKING_FACTOR * SLO_MS:g} ms", known.get(largest, "")),
        Target(lost, answered, f"≤ {LOSS_POINTS:g} points"),
        Target(every, of_all, f"≤ {LOSS_POINTS:g} points"),
    ]


def _panel(title: str, y: str, names: dict[str, str], known: dict[str, int], **more: Any) -> Panel:
    """A line for each of these, and by their names the places of the paper's in its rows."""
    scale = 100 if y.startswith("%") else 1
    rows = PAPER["fig9"]
    theirs = {name: {row[0]: scale * row[place] for row in rows} for name, place in known.items()}
    return Panel(
        title=title, x="models in the ensemble", y=y, paper=lambda result: Frame(theirs),
        of=lambda result: scale * summed_up(result)[list(names)].rename(columns=names), **more,
    )  # fmt: skip


FIG9 = Experiment(
    name="fig9",
    title="Figure 9: stragglers",
    workload=f"an open loop in process, {RATE:g} queries/s",
    systems=(MITIGATED, BLOCKING),
    measure=measure,
    targets=targets,
    panels=(
        _panel(
            "Latency", "ms",
            {
                "blocking_p99": "waiting for all, P99", "p99": "mitigated, P99",
                "blocking_mean": "waiting for all, mean", "mean": "mitigated, mean",
            },
            {"paper: all": 2, "paper: mitigated": 1}, limits=(SLO_MS,),
        ),
        _panel("Answers in time", "% of the models", {"in_time": "here"}, {"paper": 3}),
        _panel(
            "Accuracy", "% right",
            {
                "answered": "those in time", "accuracy": "default counted as wrong",
                "full": "all models",
            },
            {"paper": 4}, more=lambda axes, result: axes.set_ylim(50, 101),
        ),
    ),
)  # fmt: skip
