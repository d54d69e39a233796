"""Feedback: how much one web process takes, by receipt, and by input with and without the cache."""

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from benchmarks.charts import Panel
from benchmarks.command import Failed
from benchmarks.experiment import Experiment, Session
from benchmarks.frames import P99, Frame, Record, Records, mid, percentile
from benchmarks.generator import Recording
from benchmarks.paper import PAPER
from benchmarks.paper.pictures import halves, varied
from benchmarks.servers import waited_for
from benchmarks.stack import Stack, running_stack
from benchmarks.telling import Target, number

BATCH, CONNECTIONS = 50, 4
# Four models of the demo, as the paper had four; 64 inputs.
MODELS = ("svm-linear", "svm-rbf", "knn", "naive-bayes")
SLO_MS = 2_000
RECEIPTS = {"exp4": "all four models were asked", "exp3": "one of four models was asked"}
UNCACHED, CACHED = "without the cache", "with the cache"
APPLICATIONS: dict[str, dict[str, Any]] = {
    **{policy: {"policy": policy} for policy in RECEIPTS},
    **{kind: {"policy": "exp4", "cache": kind == CACHED} for kind in (UNCACHED, CACHED)},
}
# Different pictures.
QUESTIONS = 1_000
WANTED = "≥ 3,000/s"
# For all requests of a load, and until all of their rows are there.
POSTED_SECONDS, KEPT_SECONDS = 600.0, 180.0


def posted(recording: Recording) -> Record:
    """Sum up what became of all requests."""
    took = (1e3 * recording.queries["took"]).tolist()
    accepted = sum(json.loads(body)["accepted"] for body in recording.answers)
    waits = {"median_ms": percentile(took, 0.5), "p99_ms": percentile(took, P99)}
    return {"rate": accepted / recording.elapsed, "accepted": accepted} | waits


def measure(session: Session) -> Records:
    receipts, inputs, rounds = (5_000, 1_000, 1) if session.quick else (40_000, 4_000, 3)
    with running_stack(say=session.say, CLIPPER_WEB_WORKERS="1") as stack:
        bench = _Bench(stack)
        kinds = [*((policy, receipts) for policy in RECEIPTS)]
        kinds += [(CACHED, inputs), (UNCACHED, inputs)] * rounds
        found = []
        for kind, count in kinds:
            found.append(bench.taken(kind, count=count))
            session.say("  {kind}: {rate:,.0f}/s ({accepted:,} accepted)".format(**found[-1]))
    return found


def questions() -> tuple[list[str], list[int]]:
    """Return pictures as JSON texts, no two the same, and their digits."""
    generator = np.random.default_rng(3)
    some = halves(3)[1].some(QUESTIONS, generator=generator)
    pictures = varied(some, noise=1.0, shift=0, generator=generator)
    texts = [f"[{','.join(f'{value:.2f}' for value in image)}]" for image in pictures.images]
    return texts, pictures.labels.tolist()


def in_batches(items: Sequence[str]) -> list[str]:
    """Return the bodies of requests that hold `BATCH` items each."""
    starts = range(0, len(items), BATCH)
    return [f'{{"feedback":[{",".join(items[n : n + BATCH])}]}}' for n in starts]


class _Bench:
    """A stack with an application for each kind of feedback, and those who send it."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._texts, self._labels = questions()
        body = f'{{"input":{self._texts[0]}}}'.encode()
        for number_, fields in enumerate(APPLICATIONS.values()):
            stack.route(f"feedback-{number_}", *MODELS, slo_ms=SLO_MS, body=body, **fields)

    def taken(self, kind: str, *, count: int) -> Record:
        """Ask, and send so many labels with their receipts, or with their inputs again."""
        application, ask = f"feedback-{list(APPLICATIONS).index(kind)}", self._stack.receipts
        if kind in RECEIPTS:
            receipts = ask(application, inputs=self._texts, count=count)
            told = [f'"query_id":"{receipt}"' for receipt in receipts]
        else:
            ask(application, inputs=self._texts, count=QUESTIONS)
            told = [f'"input":{self._texts[n % QUESTIONS]}' for n in range(count)]
        labels = [self._labels[n % QUESTIONS] for n in range(count)]
        items = [f'{{{what},"label":{label}}}' for what, label in zip(told, labels, strict=True)]
        return {"kind": kind, "items": count} | self._send(application, items=items)

    def _send(self, application: str, *, items: Sequence[str]) -> Record:
        """Send them, and wait until all that were accepted are rows in the database."""
        stack = self._stack
        before = stack.rows_of_feedback(application)
        bodies = stack.folder / "feedback.txt"
        bodies.write_text("\n".join(in_batches(items)))
        url = f"{stack.url}/api/v1/applications/{application}/feedback"
        recording = stack.open_loop.run(
            url, bodies=bodies, connections=CONNECTIONS, seconds=POSTED_SECONDS
        )
        found = posted(recording)
        kept, wanted = partial(stack.rows_of_feedback, application), before + found["accepted"]
        with suppress(Failed):  # fewer came, which is judged
            waited_for(lambda: kept() >= wanted, seconds=KEPT_SECONDS, what="the rows")
        return found | {"rows": kept() - before}


def targets(result: Frame) -> list[Target]:
    gain = mid(result, "rate", kind=CACHED) / mid(result, "rate", kind=UNCACHED)
    kept = result["rows"].sum() / result["accepted"].sum()
    without, with_cache = PAPER["feedback_rates"]
    by_receipt = [
        Target(f"by receipt, {asked}, batches of {BATCH}", mid(result, "rate", kind=kind), WANTED)
        for kind, asked in RECEIPTS.items()
    ]
    return [
        *by_receipt,
        Target("rows in the database : items accepted", kept, "= 1"),
        Target("by input, with the cache : without", gain, "≥ 1.5", number(with_cache / without)),
    ]


def _medians(result: Frame, kinds: Sequence[str], **what: str) -> Frame:
    found = result.groupby("kind")[list(what)].median().loc[list(kinds)]
    names = {"exp4": "all asked (Exp4)", "exp3": "one asked (Exp3)"}
    return found.rename(index=names, columns=what)


def _paper_rates(result: Frame) -> Frame:
    one, theirs = mid(result, "rate", kind=UNCACHED), PAPER["feedback_rates"]
    return Frame({"measured": [rate / theirs[0] * one for rate in theirs]})


FEEDBACK = Experiment(
    name="feedback",
    title="Feedback: by receipt, and by input",
    workload=f"a closed loop of {CONNECTIONS} connections, {BATCH} items in each request",
    systems=(*RECEIPTS.values(), UNCACHED, CACHED),
    measure=measure,
    targets=targets,
    panels=(
        Panel(
            title="By receipt", y="items/s", bars=True,
            of=lambda result: _medians(result, [*RECEIPTS], rate="measured"),
        ),
        Panel(
            title=f"Wait for a batch of {BATCH}", y="ms", bars=True,
            of=lambda result: _medians(result, [*RECEIPTS], median_ms="median", p99_ms="P99"),
        ),
        Panel(
            title="By input", y="items/s", bars=True, paper=_paper_rates,
            of=lambda result: _medians(result, (UNCACHED, CACHED), rate="measured"),
        ),
    ),
)  # fmt: skip
