"""`make soak`: half a million queries, while one part after another is changed or killed."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from benchmarks.command import Failed
from benchmarks.experiment import Experiment, Session
from benchmarks.frames import Record, Records
from benchmarks.linear import body
from benchmarks.loads import VERSION, read_metrics
from benchmarks.processes import MIB, read_often
from benchmarks.servers import running, waited_for
from benchmarks.soak import verdict
from benchmarks.soak.clients import ENSEMBLE, ERROR, LEARNING, SINGLE, Plan, Progress
from benchmarks.soak.disruptions import DISRUPTIONS, MODEL, Disrupted, Disruption
from benchmarks.stack import Stack, running_stack
from benchmarks.study import Study
from registry.demo.digits import held_out

QUERIES, EVERY_SECONDS = 500_000, 15.0
CALM_QUERIES = 20_000
CLIENTS = {"single": 16, "ensemble": 12, "hits": 8, "batches": 1, "feedback": 3}
OBJECTIVE_MS = 250.0
# Small enough to be full after a few thousand queries: what grows from then on is no cache.
CACHE_BYTES = 8 << 20
SETTLED_SECONDS, READ_SECONDS, LOOK_AGAIN_SECONDS = 60.0, 2.0, 0.2
# Feedback that is still open is sent again for up to two minutes.
START_SECONDS, STOP_SECONDS = 30.0, 150.0


class Clients:
    """The process that asks, and what it has written so far, a line each second."""

    def __init__(self, log: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        self._log = log
        self.process = process

    @property
    def progress(self) -> list[Progress]:
        lines = self._log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n") and line[0] == "{"]

    @property
    def queries(self) -> int:
        """Asked until now. Failed where it has ended."""
        if self.process is not None and self.process.poll() is not None:
            raise Failed(f"The clients ended with exit code {self.process.returncode}.")
        last = self.progress[-1]["tallies"] if self.progress else {}
        return sum(tally["queries"] for tally in last.values())


@contextmanager
def asking(plan: Plan, *, folder: Path) -> Iterator[Clients]:
    """Ask by that plan as long as the block runs, and until everything is answered."""
    file, log = folder / "plan.json", folder / "clients.log"
    file.write_bytes(msgspec.json.encode(plan))
    command = [sys.executable, "-m", "benchmarks.soak.clients", str(file)]
    clients = Clients(log)
    with running(
        command, log=log, up=lambda: bool(clients.progress), seconds=START_SECONDS,
        stop_seconds=STOP_SECONDS,
    ) as clients.process:  # fmt: skip
        yield clients


def measure(session: Session) -> Records:
    with running_stack(say=session.say, CLIPPER_CACHE_BYTES=str(CACHE_BYTES)) as stack:
        return _Bench(stack, session=session).soak()


class _Bench:
    """The stack, who asks it, and what happens to it."""

    def __init__(self, stack: Stack, *, session: Session) -> None:
        self._stack = stack
        self._options = session.options
        self._say = session.say
        self._disrupted = Disrupted(stack)
        self._started = 0.0

    def soak(self) -> Records:
        plan = self._prepare()
        self._started = time.monotonic()
        with asking(plan, folder=self._stack.folder) as clients:
            read = lambda: self._reading(clients)  # noqa: E731
            with read_often(read, seconds=READ_SECONDS) as memory:
                events = self._disrupt(clients, memory=memory)
        self._say("The load has ended; waiting until all is settled ...")
        progress = clients.progress
        acknowledged = progress[-1]["acknowledged"]
        left_open, rows = self._left_open(), self._rows(wanted=acknowledged)
        end = {"wanted": self._options.queries, "acknowledged": acknowledged, "rows": rows}
        kinds: dict[str, Records] = {
            verdict.TALLY: [
                {"at": one["at"], "client": kind} | tally
                for one in progress
                for kind, tally in one["tallies"].items()
            ],
            verdict.TROUBLE: [trouble for one in progress for trouble in one["troubles"]],
            verdict.EVENT: events,
            verdict.MEMORY: memory,
            verdict.END: [end | {"left_open": left_open}],
        }
        found = [{"kind": kind, **record} for kind, records in kinds.items() for record in records]
        for record in found:
            # Seconds since the load began.
            moments = record.keys() & {"at", "over"}
            record |= {moment: record[moment] - self._started for moment in moments}
        return found

    def _prepare(self) -> Plan:
        stack = self._stack
        images, labels = held_out()
        question = body(images[0], decimals=0).encode()
        ensemble = stack.call("GET", f"applications/{ENSEMBLE}")
        all_models = [route["model"] for route in ensemble["routes"]]
        stack.route(SINGLE, MODEL, slo_ms=OBJECTIVE_MS, body=question)
        stack.route(LEARNING, *all_models, slo_ms=OBJECTIVE_MS, policy="exp4", body=question)
        address, objectives_ms = urlsplit(stack.url), {SINGLE: OBJECTIVE_MS, LEARNING: OBJECTIVE_MS}
        return Plan(
            host=address.hostname or "",
            port=address.port or 0,
            api_key=stack.api_key,
            images=[",".join(f"{pixel:.0f}" for pixel in image[1:]) for image in images],
            labels=[int(label) for label in labels],
            objectives_ms=objectives_ms | {ENSEMBLE: ensemble["slo"]["latency_ms"]},
            clients=CLIENTS,
        )

    def _reading(self, clients: Clients) -> Record | None:
        """The resident memory in MiB of the web process that answers, by its id. Nothing while
        there is none, as after it was killed.
        """
        serving = self._disrupted.web_workers()
        if not serving:
            return None
        web = serving[0].memory_info().rss / MIB
        about = {"pid": serving[0].pid, "queries": clients.queries}
        return about | {"at": time.monotonic(), "web": web}

    def _disrupt(self, clients: Clients, *, memory: Records) -> Records:
        """One disruption after another, each at least once, until so much was asked."""
        events: Records = []
        while clients.queries < CALM_QUERIES:
            time.sleep(LOOK_AGAIN_SECONDS)
        first_round = True
        while first_round or clients.queries < self._options.queries:
            for disruption in DISRUPTIONS:
                if first_round or not disruption.once:
                    self._pause(clients, memory=memory)
                    events.append(self._event(disruption))
                if not first_round and clients.queries >= self._options.queries:
                    break
            first_round = False
        self._pause(clients, memory=memory)
        return events

    def _event(self, disruption: Disruption) -> Record:
        began, failure = time.monotonic(), ""
        try:
            disruption.begin(self._disrupted)
        except (Failed, httpx.HTTPError, LookupError) as error:
            failure = f"{type(error).__name__}: {error}"
        over = time.monotonic()
        self._say(f"  {disruption.name}, {over - began:.1f} s {failure}")
        about = {"name": disruption.name, "excuses": list(disruption.excuses)}
        return about | {"at": began, "over": over, "failure": failure}

    def _pause(self, clients: Clients, *, memory: Records) -> None:
        time.sleep(self._options.every)
        progress = clients.progress
        errors = sum(one["sort"] == ERROR for each in progress for one in each["troubles"])
        web = f"{memory[-1]['web']:.0f} MiB" if memory else "unknown"
        self._say(
            f"{clients.queries:,} queries, {errors} errors, {progress[-1]['acknowledged']:,} "
            f"feedbacks; the web process has {web}"
        )

    def _left_open(self) -> float:
        """Queries that wait or are in flight; none as soon as a publication shows none."""
        gauges = (f"{VERSION}in_flight", f"{VERSION}waiting")
        left = float("nan")

        def settled() -> bool:
            nonlocal left
            samples = read_metrics(self._stack.client)
            found = [value for (name, _, _), value in samples.items() if name in gauges]
            left = sum(found) if found else float("nan")
            return left == 0

        with suppress(Failed):
            waited_for(settled, seconds=SETTLED_SECONDS, what="the queries to end")
        return left

    def _rows(self, *, wanted: int) -> int:
        """Rows of feedback: as many as wanted, or however many there are after a while. Looked at
        once more a little later: there must not come any beyond these.
        """
        rows = partial(self._stack.rows_of_feedback, LEARNING)
        with suppress(Failed):
            waited_for(lambda: rows() >= wanted, seconds=SETTLED_SECONDS, what="the rows")
        time.sleep(10 * LOOK_AGAIN_SECONDS)
        return rows()


STUDY = Study.of(
    Experiment(
        name="soak",
        title="Soak",
        workload="40 clients that never pause, of five kinds",
        systems=("a stack, while one part after another is changed or killed",),
        measure=measure,
        targets=verdict.targets,
        panels=verdict.PANELS,
        size=(7.4, 3.5),
        table=verdict.phase_table,
        notes=verdict.notes,
    ),
    about=__doc__,
    strict=True,
    options={
        "--queries": {"type": int, "default": QUERIES, "help": "at least (500,000)"},
        "--every": {"type": float, "default": EVERY_SECONDS, "help": "seconds between events (15)"},
    },
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
