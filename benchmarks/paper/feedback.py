"""Feedback: how much one web process takes, by receipt, and by input with and without the cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from statistics import median
from typing import Any

import msgspec
import numpy as np
from matplotlib.axes import Axes

from benchmarks import charts
from benchmarks.command import Failed
from benchmarks.experiment import Experiment, Session
from benchmarks.generator import Recording
from benchmarks.paper.pictures import halves, varied
from benchmarks.paper.published import PAPER
from benchmarks.quantiles import P99, percentile
from benchmarks.servers import waited_for
from benchmarks.stack import Stack, running_stack
from benchmarks.targets import Target, at_least, exactly, number

BATCH, CONNECTIONS = 50, 4
# Four models of the demo, as the paper had four; 64 inputs.
MODELS = ("svm-linear", "svm-rbf", "knn", "naive-bayes")
SLO_MS = 2_000
RECEIPTS = {"exp4": "all four models were asked", "exp3": "one of four models was asked"}
CACHED, UNCACHED = "with", "without"
# Different pictures, and so many asked about at once to get receipts.
QUESTIONS, ASKED_AT_ONCE = 1_000, 500
WANTED_RATE, WANTED_GAIN = 3_000.0, 1.5
# For all requests of a load, and until all of their rows are there.
POSTED_SECONDS, KEPT_SECONDS = 600.0, 180.0
NAMES = ("all asked\n(Exp4)", "one asked\n(Exp3)")


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """Items by receipt for each policy, by input in each round, and rounds with and without."""

    receipts: int
    inputs: int
    rounds: int


FULL = Length(receipts=40_000, inputs=4_000, rounds=3)
QUICK = Length(receipts=5_000, inputs=1_000, rounds=1)


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """From the first request to the last answer, and each request's own seconds; sums of what the
    answers say.
    """

    seconds: float
    each: list[float]
    accepted: int
    duplicates: int
    rejected: int
    refused: int

    @property
    def rate(self) -> float:
        """Accepted items in a second."""
        return self.accepted / self.seconds


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One load: what was posted, how it went, and the rows that were in the database in the end.

    `kept_after` are the seconds from the last answer until all of them were there.
    """

    kind: str
    items: int
    posted: Posted
    rows: int
    kept_after: float


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    receipts: list[Taken]
    inputs: list[Taken]

    def by_receipt(self, policy: str) -> Taken:
        return next(taken for taken in self.receipts if taken.kind == policy)

    def rate_by_input(self, kind: str) -> float:
        """The median of the rounds."""
        return median(taken.posted.rate for taken in self.inputs if taken.kind == kind)

    @property
    def gain(self) -> float:
        return self.rate_by_input(CACHED) / self.rate_by_input(UNCACHED)

    @property
    def kept(self) -> float:
        """Rows in the database beside items accepted."""
        taken = [*self.receipts, *self.inputs]
        return sum(one.rows for one in taken) / sum(one.posted.accepted for one in taken)


class _Answer(msgspec.Struct):
    accepted: int = 0
    duplicates: int = 0
    rejected: list[msgspec.Raw] = []


_decode = msgspec.json.Decoder(_Answer).decode


def posted(recording: Recording) -> Posted:
    """Sum up what became of all requests; an answer other than 200 counts as refused."""
    queries = recording.queries
    refused = sum(query.status != 200 for query in queries)
    answers = [_decode(body) for body in recording.answers]
    return Posted(
        seconds=recording.elapsed,
        each=[query.took for query in queries],
        accepted=sum(answer.accepted for answer in answers),
        duplicates=sum(answer.duplicates for answer in answers),
        rejected=sum(len(answer.rejected) for answer in answers),
        refused=refused,
    )


def measure(session: Session) -> Feedback:
    length = QUICK if session.quick else FULL
    with running_stack(say=session.say, CLIPPER_WEB_WORKERS="1") as stack:
        bench = _Bench(stack, session=session)
        receipts = [bench.by_receipt(policy, count=length.receipts) for policy in RECEIPTS]
        inputs = [
            bench.by_input(kind, count=length.inputs)
            for _ in range(length.rounds)
            for kind in (CACHED, UNCACHED)
        ]
    return Feedback(receipts=receipts, inputs=inputs)


def questions() -> tuple[list[str], list[int]]:
    """Return pictures as JSON texts, no two the same, and their digits."""
    generator = np.random.default_rng(3)
    _, asked = halves(3)
    pictures = varied(
        asked.some(QUESTIONS, generator=generator), noise=1.0, shift=0, generator=generator
    )
    texts = [f"[{','.join(f'{value:.2f}' for value in image)}]" for image in pictures.images]
    return texts, pictures.labels.tolist()


def in_batches(items: Sequence[str]) -> list[str]:
    """Return the bodies of requests that hold `BATCH` items each."""
    starts = range(0, len(items), BATCH)
    return [f'{{"feedback":[{",".join(items[n : n + BATCH])}]}}' for n in starts]


class _Bench:
    """A stack with an application for each kind of feedback, and those who send it."""

    def __init__(self, stack: Stack, *, session: Session) -> None:
        self._stack = stack
        self._say = session.say
        self._texts, self._labels = questions()
        for policy in RECEIPTS:
            self._route(f"receipts-{policy}", policy=policy)
        for kind in (CACHED, UNCACHED):
            self._route(f"inputs-{kind}", policy="exp4", cache=kind == CACHED)

    def _route(self, name: str, **fields: Any) -> None:
        body = f'{{"input":{self._texts[0]}}}'.encode()
        self._stack.route(name, *MODELS, slo_ms=SLO_MS, body=body, **fields)

    def by_receipt(self, policy: str, *, count: int) -> Taken:
        """Ask so many questions, and then send the labels with their receipts."""
        name = f"receipts-{policy}"
        items = [
            f'{{"query_id":"{receipt}","label":{self._labels[n % QUESTIONS]}}}'
            for n, receipt in enumerate(self._receipts(name, count=count))
        ]
        taken = self._send(name, kind=policy, items=items)
        self._tell(f"by receipt, {RECEIPTS[policy]}", taken)
        return taken

    def by_input(self, kind: str, *, count: int) -> Taken:
        """Ask every question, and then send all of them again with their labels."""
        name = f"inputs-{kind}"
        self._receipts(name, count=QUESTIONS)
        items = [
            f'{{"input":{self._texts[n % QUESTIONS]},"label":{self._labels[n % QUESTIONS]}}}'
            for n in range(count)
        ]
        taken = self._send(name, kind=kind, items=items)
        self._tell(f"by input, {kind} the cache", taken)
        return taken

    def _receipts(self, application: str, *, count: int) -> list[str]:
        """Return the receipts of so many questions, asked in turn."""
        found: list[str] = []
        while len(found) < count:
            wanted = min(ASKED_AT_ONCE, count - len(found))
            texts = [self._texts[(len(found) + n) % QUESTIONS] for n in range(wanted)]
            found += self._stack.receipts(application, inputs=texts)
        return found

    def _send(self, application: str, *, kind: str, items: Sequence[str]) -> Taken:
        before = self._stack.rows_of_feedback(application)
        bodies = self._stack.folder / "feedback.txt"
        bodies.write_text("\n".join(in_batches(items)))
        url = f"{self._stack.url}/api/v1/applications/{application}/feedback"
        recording = self._stack.open_loop.run(
            url, bodies=bodies, connections=CONNECTIONS, seconds=POSTED_SECONDS
        )
        found, ended = posted(recording), time.monotonic()

        def rows() -> int:
            return self._stack.rows_of_feedback(application) - before

        with suppress(Failed):  # fewer came, which is judged
            waited_for(lambda: rows() >= found.accepted, seconds=KEPT_SECONDS, what="the rows")
        return Taken(
            kind=kind,
            items=len(items),
            posted=found,
            rows=rows(),
            kept_after=time.monotonic() - ended,
        )

    def _tell(self, what: str, taken: Taken) -> None:
        posted = taken.posted
        self._say(
            f"  {what}: {posted.rate:,.0f} a second ({posted.accepted:,} accepted of "
            f"{taken.items:,}; {taken.rows:,} rows {taken.kept_after:.1f} s later)"
        )


def targets(result: Feedback) -> list[Target]:
    without, with_cache = PAPER.feedback_rates
    by_receipt = [
        at_least(
            f"by receipt, {asked}, batches of {BATCH}",
            result.by_receipt(policy).posted.rate,
            WANTED_RATE,
            unit="/s",
        )
        for policy, asked in RECEIPTS.items()
    ]
    paper = number(with_cache / without)
    return [
        *by_receipt,
        exactly("rows in the database : items accepted", result.kept, 1.0),
        at_least("by input, with the cache : without", result.gain, WANTED_GAIN, paper=paper),
    ]


def _draw_rates(axes: Axes, result: Feedback) -> None:
    rates = [result.by_receipt(policy).posted.rate for policy in RECEIPTS]
    texts = [*map(number, rates)]
    charts.bars(axes, range(len(rates)), rates, colour=charts.BLUE, texts=texts, inside=True)
    charts.limit(axes, WANTED_RATE)
    axes.set_xticks(range(len(RECEIPTS)), NAMES)
    axes.set(title="By receipt", ylabel="items/s", xlim=(-0.6, 1.6))
    axes.yaxis.set_major_formatter(charts.THOUSANDS)


def _draw_waits(axes: Axes, result: Feedback) -> None:
    for offset, q, colour in ((-0.18, 0.5, charts.BLUE), (0.18, P99, charts.ORANGE)):
        values = [percentile(result.by_receipt(name).posted.each, q) * 1e3 for name in RECEIPTS]
        places = [place + offset for place in range(len(values))]
        texts = [f"{value:,.0f}" for value in values]
        charts.bars(axes, places, values, colour=colour, texts=texts, width=0.34)
    axes.set_xticks(range(len(RECEIPTS)), NAMES)
    axes.set(title=f"Wait for a batch of {BATCH}", ylabel="ms", xlim=(-0.6, 1.6))
    axes.set_ylim(top=axes.get_ylim()[1] * 1.3)
    charts.keys(axes, {"median": charts.BLUE, "P99": charts.ORANGE}, loc="upper right")


def _draw_inputs(axes: Axes, result: Feedback) -> None:
    kinds, theirs = (UNCACHED, CACHED), PAPER.feedback_rates
    rates = [result.rate_by_input(kind) for kind in kinds]
    texts = [*map(number, rates)]
    charts.bars(axes, range(len(rates)), rates, colour=charts.TEAL, texts=texts, inside=True)
    known = [rate / theirs[0] * rates[0] for rate in theirs]
    charts.papers(axes, range(len(known)), known, label="the paper, relative to its first")
    charts.limit(axes, WANTED_GAIN * rates[0])
    axes.set_xticks(range(len(kinds)), [f"{kind}\nthe cache" for kind in kinds])
    axes.set(title="By input", ylabel="items/s", xlim=(-0.6, 1.6))
    axes.set_ylim(top=axes.get_ylim()[1] * 1.15)
    axes.yaxis.set_major_formatter(charts.THOUSANDS)
    axes.legend(loc="upper left", fontsize=8)


FEEDBACK = Experiment(
    name="feedback",
    title="Feedback: by receipt, and by input",
    workload=f"a closed loop of {CONNECTIONS} connections, {BATCH} items in each request",
    systems=(*RECEIPTS.values(), f"{CACHED} the cache", f"{UNCACHED} the cache"),
    result=Feedback,
    measure=measure,
    targets=targets,
    draw=charts.Chart(
        title="Feedback",
        subtitle=f"One web process, batches of {BATCH} over {CONNECTIONS} connections, each "
        "answered when it is on disk. By input: the four models' answers are needed first.",
        size=(10.0, 3.9),
        panels=(_draw_rates, _draw_waits, _draw_inputs),
        options={"width_ratios": [1.0, 1.0, 1.1]},
    ),
)
