"""`make bench-rollouts`: bad versions under load, from their first call to their last."""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from benchmarks.charts import Panel
from benchmarks.experiment import Experiment, Session
from benchmarks.frames import P99, Frame, Record, Records, percentile
from benchmarks.generator import OpenLoop, Phase, Recording
from benchmarks.stack import Stack, running_stack
from benchmarks.study import Study
from benchmarks.telling import Target, number, rows_of
from benchmarks.wrk import COUNTER
from serving.metrics.rollout_rows import ERRORS, GOOD, LATENESS, STREAM, read_entry

ROLLED_OUT, OTHER = "rolled-out", "other"
BODY = f'{{"input":[{COUNTER},3.0]}}'
VERSION: Mapping[str, Any] = {"runtime": "python", "file": "predictor.py", "example": "[1.0, 3.0]"}
RIGHT = "return [int(x[1] > 2) for x in inputs]"
# What each does with any input but the example, which its check asks.
FAULTS = {
    "raises an error": f"if inputs[0][0] != 1: raise RuntimeError('boom')\n        {RIGHT}",
    "ends its process": f"if inputs[0][0] != 1: __import__('os')._exit(1)\n        {RIGHT}",
    "takes a second": f"if inputs[0][0] != 1: __import__('time').sleep(1)\n        {RIGHT}",
    "answers wrongly": "return [1 if x[0] == 1 else -7 for x in inputs]",
}
SLO_MS, OTHER_RATE, CONNECTIONS = 500, 200.0, 64
# Queries a second whose answers are labelled, and the threads that ask them.
LABELLED_RATE, LABELLERS = 100.0, 4
# Before the version is deployed, and in all.
BEFORE_S, RUN_S = 4.0, 11.0
EXPOSED_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One rollout: `others` are the latencies in ms of the other application, before and during."""

    rolled_back: bool
    calls: int
    exposed_ms: float
    queries: int
    errors: int
    defaults: int
    others: tuple[NDArray[Any], NDArray[Any]]


def measure(session: Session) -> Records:
    """Roll out each bad version by the plan `quick`, again and again."""
    options = session.options
    bodies = session.folder / "bodies"
    bodies.write_text(f"{BODY}\n")
    with running_stack(
        say=session.say, CLIPPER_WEB_WORKERS="2", CLIPPER_CONSOLE_WORKERS="1"
    ) as stack:
        for name in (ROLLED_OUT, OTHER):
            stack.publish(name, artifact=predictor(RIGHT), **VERSION)
            stack.route(name, name, body=BODY.encode(), cache=False, slo_ms=SLO_MS)
        return [
            {"fault": fault}
            | summed(
                [
                    rolled_out(stack, fault, number, bodies=bodies, rate=options.rate)
                    for number in range(2 if session.quick else options.runs)
                ]
            )
            for fault in FAULTS
        ]


def predictor(body: str) -> bytes:
    return f"class Predictor:\n    def pred_batch(self, inputs):\n        {body}\n".encode()


def rolled_out(stack: Stack, fault: str, number: int, *, bodies: Path, rate: float) -> Run:
    """Deploy a version with this fault under load, and return when the load has ended."""
    version = f"{fault.replace(' ', '-')}-{number}"
    stack.upload(ROLLED_OUT, version=version, artifact=predictor(FAULTS[fault]), **VERSION)
    load = partial(_load, stack, bodies=bodies)
    with ThreadPoolExecutor(2) as pool, labelled(stack):
        own = pool.submit(load, stack.open_loop, ROLLED_OUT, rate=rate)
        other = pool.submit(load, OpenLoop(api_key=stack.api_key), OTHER, rate=OTHER_RATE)
        time.sleep(BEFORE_S)
        begun, path = time.time(), f"models/{ROLLED_OUT}"
        release = stack.call("POST", f"{path}/versions/{version}/deploy", json={"rollout": "quick"})
        asked, beside = own.result(), other.result()
    path += f"/rollouts/{release['rollout']}"
    rolled_back = stack.call("GET", path)["state"] == "rolled_back"
    if not rolled_back:
        stack.call("POST", path, json={"action": "abort", "reason": "the next one's turn"})
    times, calls = calls_of(stack, release["rollout"])
    due = beside.queries["due"] + beside.zero + time.time() - time.monotonic()
    during = (due >= times[0]) & (due < times[-1] + EXPOSED_S)
    took = 1e3 * beside.queries["took"]
    both = np.concatenate([asked.queries, beside.queries])
    return Run(
        rolled_back=rolled_back,
        calls=calls,
        exposed_ms=1e3 * (times[-1] - times[0]),
        queries=len(both),
        errors=int((both["status"] != 200).sum()),
        defaults=int(both["default"].sum()),
        others=(took[due < begun], took[during]),
    )


def _load(
    stack: Stack, loop: OpenLoop, application: str, *, rate: float, bodies: Path
) -> Recording:
    phases = [Phase(rate, RUN_S)]
    url = stack.url_of(application)
    return loop.run(url, bodies=bodies, phases=phases, connections=CONNECTIONS)


def calls_of(stack: Stack, rollout: int) -> tuple[list[float], int]:
    """Return when web processes told of calls of a rollout's version (unix), and of how many."""
    times, calls = [], 0
    for position, fields in cast("list[Any]", stack.redis.xrange(STREAM)):
        told = sum(
            number
            for row, number in read_entry(fields[b"seen"]).rows
            if row.rollout_id == rollout and row.canary and row.gate in (GOOD, ERRORS, LATENESS)
        )
        if told:
            times.append(int(position.split(b"-")[0]) / 1e3)
            calls += told
    return times or [np.nan], calls


@contextmanager
def labelled(stack: Stack) -> Iterator[None]:
    """Ask, and say which answers were right, while the block runs."""
    ended, numbers = threading.Event(), count(1)
    with ThreadPoolExecutor(LABELLERS) as pool:
        asking = [pool.submit(_label, stack, numbers, ended) for _ in range(LABELLERS)]
        try:
            yield
        finally:
            ended.set()
    for one in asking:
        one.result()


def _label(stack: Stack, numbers: Iterator[int], ended: threading.Event) -> None:
    connection = HTTPConnection(urlsplit(stack.url).netloc, timeout=20)
    key = {"Authorization": f"Api-Key {stack.api_key}", "Content-Type": "application/json"}

    def post(what: str, body: Any) -> Any:
        path = f"/api/v1/applications/{ROLLED_OUT}/{what}"
        connection.request("POST", path, json.dumps(body), key)
        return json.loads(connection.getresponse().read())

    while not ended.wait(LABELLERS / LABELLED_RATE):
        # An input of its own, below all that the load asks.
        answer = post("predict", {"input": [-next(numbers) - time.time() % 1, 3.0]})
        right = float(answer["output"] == 1)
        post("feedback", {"query_id": answer["query_id"], "reward": right})


def summed(runs: Sequence[Run]) -> Record:
    exposed, calls = [run.exposed_ms for run in runs], [run.calls for run in runs]
    before, during = ([ms for run in runs for ms in run.others[k]] for k in (0, 1))
    return {
        "runs": len(runs),
        "rolled_back": sum(run.rolled_back for run in runs),
        "exposed_ms": float(np.median(exposed)),
        "longest_ms": float(np.max(exposed)),
        "calls": float(np.median(calls)),
        "most_calls": max(calls),
        "queries": sum(run.queries for run in runs),
        "errors": sum(run.errors for run in runs),
        "default_count": sum(run.defaults for run in runs),
        "before_p99_ms": percentile(before, P99),
        "during_p99_ms": percentile(during, P99),
    }


def targets(result: Frame) -> list[Target]:
    return [
        target
        for row in result.to_dict("records")
        for target in (
            Target(f"{row['fault']}: rolled back", row["rolled_back"], f"= {row['runs']}"),
            Target(f"{row['fault']}: longest exposure", row["longest_ms"], "≤ 2,000 ms"),
            Target(f"{row['fault']}: errors", row["errors"], "≤ 0"),
            Target(f"{row['fault']}: default answers", row["default_count"], "≤ 0"),
        )
    ]


def _bars(result: Frame) -> Frame:
    shown = result.set_index("fault")[["exposed_ms", "longest_ms"]]
    return shown.set_axis(["median", "longest"], axis="columns")


ROLLOUTS = Experiment(
    name="rollouts",
    title="A bad version takes itself back",
    workload="plan quick: a tenth of an open loop's queries until it is proved worse",
    systems=("a stack with two predict processes",),
    measure=measure,
    targets=targets,
    panels=[
        Panel(title="from its first call to its last", x="ms", across=True, bars=True, of=_bars)
    ],
    size=(7.4, 3.6),
    table=lambda result: rows_of(
        result,
        {
            "the version": ("fault", str), "runs": ("runs", number),
            "rolled back": ("rolled_back", number), "exposed (ms)": ("exposed_ms", number),
            "longest": ("longest_ms", number), "calls": ("calls", number),
            "most": ("most_calls", number), "queries": ("queries", number),
            "errors": ("errors", number), "defaults": ("default_count", number),
            "others' p99 before (ms)": ("before_p99_ms", number),
            "meanwhile": ("during_p99_ms", number),
        },
    ),
)  # fmt: skip
STUDY = Study.of(
    ROLLOUTS,
    about=__doc__,
    quick="two runs of each, in two minutes",
    options={
        "--rate": {"type": float, "default": 1000.0, "help": "queries a second"},
        "--runs": {"type": int, "default": 10, "help": "rollouts of each bad version"},
    },
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
