"""Feedback: how much one web process takes, by receipt, and by input with and without the cache."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import style
from benchmarks.figures.claims import Claim, number
from benchmarks.figures.experiment import Experiment
from benchmarks.figures.quantiles import P99, percentile
from benchmarks.management import Operator
from benchmarks.paper import published
from benchmarks.paper.pictures import halves, varied
from benchmarks.paper.posting import Plan, Posted
from benchmarks.paper.session import Session
from benchmarks.servers import Stack, running_stack
from scripts.stack.layout import ROOT

BATCH, CONNECTIONS = 50, 4
# Four models of the demo, as the paper had four; 64 inputs.
MODELS = ("svm-linear", "svm-rbf", "knn", "naive-bayes")
SLO_MS = 2_000
RECEIPTS = {"exp4": "all four models were asked", "exp3": "one of four models was asked"}
CACHED, UNCACHED = "with", "without"
# Different pictures, and so many asked about at once to get receipts.
QUESTIONS, ASKED_AT_ONCE = 1_000, 500
WANTED_RATE, WANTED_GAIN = 3_000.0, 1.5
KEPT_SECONDS, LOOK_AGAIN_SECONDS = 180.0, 0.2


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """Items by receipt for each policy, by input in each round, and rounds with and without."""

    receipts: int
    inputs: int
    rounds: int


FULL = Length(receipts=40_000, inputs=4_000, rounds=3)
QUICK = Length(receipts=5_000, inputs=1_000, rounds=1)


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


def measure(session: Session) -> Feedback:
    length = QUICK if session.quick else FULL
    session.say("  Starting a stack with the demo ...")
    with (
        tempfile.TemporaryDirectory(prefix="clipper-paper-") as folder,
        running_stack(Path(folder), settings={"CLIPPER_WEB_WORKERS": "1"}) as stack,
        stack.client() as client,
    ):
        bench = _Bench(stack, client=client, folder=Path(folder), session=session)
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

    def __init__(
        self, stack: Stack, *, client: httpx.Client, folder: Path, session: Session
    ) -> None:
        self._stack = stack
        self._client = client
        self._say = session.say
        self._database = folder / "var" / "clipper.sqlite3"
        self._texts, self._labels = questions()
        operator = Operator(client)
        for policy in RECEIPTS:
            self._application(operator, f"receipts-{policy}", policy=policy)
        for kind in (CACHED, UNCACHED):
            self._application(operator, f"inputs-{kind}", policy="exp4", cache=kind == CACHED)

    def _application(self, operator: Operator, name: str, **fields: Any) -> None:
        operator.create_application(
            name=name,
            input_type="doubles",
            slo_ms=SLO_MS,
            default_output=-1,
            routes=[{"model": model} for model in MODELS],
            **fields,
        )
        operator.wait_until_answered(name, body=f'{{"input":{self._texts[0]}}}'.encode())

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
            answer = self._client.post(
                f"/api/v1/applications/{application}/predict",
                content=f'{{"input_batch":[{",".join(texts)}]}}',
            ).raise_for_status()
            found += [one["query_id"] for one in answer.json()["batch_predictions"]]
        return found

    def _send(self, application: str, *, kind: str, items: Sequence[str]) -> Taken:
        url, before = urlsplit(self._stack.url), self._rows(application)
        plan = Plan(
            host=url.hostname or "",
            port=url.port or 0,
            path=f"/api/v1/applications/{application}/feedback",
            api_key=self._stack.api_key,
            bodies=in_batches(items),
            connections=CONNECTIONS,
        )
        finished = subprocess.run(
            [sys.executable, "-m", "benchmarks.paper.posting"],
            input=msgspec.json.encode(plan),
            stdout=subprocess.PIPE,
            cwd=ROOT,
            check=True,
        )
        posted = msgspec.json.decode(finished.stdout, type=Posted)
        ended = time.monotonic()
        rows = self._rows_in_the_end(application, wanted=before + posted.accepted) - before
        return Taken(
            kind=kind,
            items=len(items),
            posted=posted,
            rows=rows,
            kept_after=time.monotonic() - ended,
        )

    def _rows_in_the_end(self, application: str, *, wanted: int) -> int:
        """Return how many there are when as many are there as wanted, or no more come."""
        deadline = time.monotonic() + KEPT_SECONDS
        while (rows := self._rows(application)) < wanted and time.monotonic() < deadline:
            time.sleep(LOOK_AGAIN_SECONDS)
        return rows

    def _rows(self, application: str) -> int:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as database:
            ((rows,),) = database.execute(
                "SELECT count(*) FROM selection_feedback JOIN registry_application AS application"
                " ON application.id = application_id WHERE application.name = ?",
                (application,),
            )
        return int(rows)

    def _tell(self, what: str, taken: Taken) -> None:
        posted = taken.posted
        self._say(
            f"  {what}: {posted.rate:,.0f} a second ({posted.accepted:,} accepted of "
            f"{taken.items:,}; {taken.rows:,} rows {taken.kept_after:.1f} s later)"
        )


def claims(result: Feedback) -> list[Claim]:
    without, with_cache = published.FEEDBACK_RATES
    return [
        *(
            Claim(
                figure="feedback",
                what=f"by receipt, {asked}, batches of {BATCH}",
                seen=result.by_receipt(policy).posted.rate,
                at_least=WANTED_RATE,
                unit="/s",
            )
            for policy, asked in RECEIPTS.items()
        ),
        Claim(
            figure="feedback",
            what="rows in the database : items accepted",
            seen=result.kept,
            at_least=1.0,
            at_most=1.0,
        ),
        Claim(
            figure="feedback",
            what="by input, with the cache : without",
            seen=result.gain,
            at_least=WANTED_GAIN,
            paper=number(with_cache / without),
        ),
    ]


def draw(result: Feedback) -> Figure:
    figure = style.styled(
        title="Feedback",
        subtitle=f"One web process, batches of {BATCH} over {CONNECTIONS} connections, each "
        "answered when it is on disk. By input: the four models' answers are needed first.",
        width=10.0,
        height=3.9,
    )
    rates, waits, inputs = style.panels(figure, rows=1, columns=3, width_ratios=[1.0, 1.0, 1.1])
    _draw_rates(rates, result)
    _draw_waits(waits, result)
    _draw_inputs(inputs, result)
    return figure


def _draw_rates(axes: Axes, result: Feedback) -> None:
    for place, policy in enumerate(RECEIPTS):
        _bar(axes, place, result.by_receipt(policy).posted.rate, colour=style.BLUE)
    style.limit(axes, WANTED_RATE, label="")
    axes.set_xticks(range(len(RECEIPTS)), ["all asked\n(Exp4)", "one asked\n(Exp3)"])
    axes.set(title="By receipt", ylabel="items/s", xlim=(-0.6, 1.6))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=False, axis="x")


def _draw_waits(axes: Axes, result: Feedback) -> None:
    for place, policy in enumerate(RECEIPTS):
        each = result.by_receipt(policy).posted.each
        for offset, q, colour in ((-0.18, 0.5, style.BLUE), (0.18, P99, style.ORANGE)):
            value = percentile(each, q) * 1e3
            axes.bar(place + offset, value, width=0.34, color=colour)
            axes.annotate(
                f"{value:,.0f}", (place + offset, value), xytext=(0, 2),
                textcoords="offset points", ha="center", fontsize=8,
            )  # fmt: skip
    for name, colour in (("median", style.BLUE), ("P99", style.ORANGE)):
        axes.bar(0, 0, color=colour, label=name)
    axes.set_xticks(range(len(RECEIPTS)), ["all asked\n(Exp4)", "one asked\n(Exp3)"])
    axes.set(title=f"Wait for a batch of {BATCH}", ylabel="ms", xlim=(-0.6, 1.6))
    axes.set_ylim(top=axes.get_ylim()[1] * 1.3)
    axes.legend(loc="upper right")
    axes.grid(visible=False, axis="x")


def _draw_inputs(axes: Axes, result: Feedback) -> None:
    known = dict(zip((UNCACHED, CACHED), published.FEEDBACK_RATES, strict=True))
    base = result.rate_by_input(UNCACHED)
    for place, (kind, paper) in enumerate(known.items()):
        _bar(axes, place, result.rate_by_input(kind), colour=style.TEAL)
        label = "the paper, relative to its first" if kind == CACHED else ""
        axes.plot(
            [place], [paper / known[UNCACHED] * base], "D", markersize=6, markerfacecolor="white",
            color=style.QUIET, label=label,
        )  # fmt: skip
    style.limit(axes, WANTED_GAIN * base, label="")
    axes.set_xticks(range(len(known)), [f"{kind}\nthe cache" for kind in known])
    axes.set(title="By input", ylabel="items/s", xlim=(-0.6, 1.6))
    axes.set_ylim(top=axes.get_ylim()[1] * 1.15)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.legend(loc="upper left", fontsize=8)
    axes.grid(visible=False, axis="x")


def _bar(axes: Axes, place: float, rate: float, *, colour: str) -> None:
    axes.bar(place, rate, width=0.56, color=colour)
    axes.annotate(
        number(rate), (place, 0), xytext=(0, 6), textcoords="offset points", ha="center",
        color="white", fontweight="bold",
    )  # fmt: skip


FEEDBACK = Experiment(
    name="feedback",
    title="Feedback: by receipt, and by input",
    result=Feedback,
    measure=measure,
    claims=claims,
    draw=draw,
)
