"""Where the web process spends its time: py-spy's samples, by what is done for a query."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.command import Failed
from benchmarks.telling import table

RATE = 250
START_SECONDS = 3
# The frame below which uvicorn runs its event loop.
EVENT_LOOP = "uvicorn/server.py"
# What a web process does for a query, by the functions that do it; the innermost one counts.
STAGES = {
    "read sockets, the event loop": ("Runner.run", "data_received", "_take_first", "_pass_on"),
    "recognise the head": ("Heads.find",),
    "split the body": ("plain_input", "parse_predict", "check_type"),
    "choose arms": ("QueryProcessor._choice", "QueryProcessor.features_of"),
    "hash the input": ("QueryProcessor._ask",),
    "look in the cache, queue": ("Engine.ask",),
    "keep the deadline": ("Gather.when_settled", "Gather._take_call"),
    "send batches": ("Replica._flush",),
    "read answers, learn their pace": ("Replica.on_frame",),
    "fill the cache, find who waits": ("Engine._settle",),
    "combine": ("Query._decide", "outputs_of"),
    "sign the receipt": ("Query._receipt",),
    "count": ("ApplicationStats.count_arms", "ApplicationStats.record"),
    "render": ("render", "Query.prediction"),
    "write to the client": ("FrontProtocol._send",),
    "the rest of the query": ("FrontProtocol._predict", "FrontProtocol._answer"),
}
BEHIND = "behind the queries: Redis, registry, metrics"


def profiler() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    found = shutil.which("py-spy") or (str(beside) if beside.exists() else None)
    if found is None:
        raise Failed("--profile needs py-spy: .venv/bin/python -m pip install py-spy")
    return found


def record(pid: int, *, seconds: int, to: Path) -> subprocess.Popen[bytes]:
    """Start sampling; when the process has ended, `to` holds one stack and its count a line."""
    command = [profiler(), "record", "--pid", str(pid), "--duration", str(seconds)]
    options = ["--rate", str(RATE), "--format", "raw", "--output", str(to)]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def in_words(stacks: str) -> str:
    shares = ((stage, f"{share:.1%}") for stage, share in stages(stacks).items())
    return f"\nShares of the event loop's time by stage\n{table(shares)}"


def stages(stacks: str) -> dict[str, float]:
    """Return the share of each stage in the samples of the event loop's thread. `stacks` is in
    py-spy's raw format, `outer (file:line);inner (file:line) count`.
    """
    stage_of = {name: stage for stage, names in STAGES.items() for name in names}
    found: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        if EVENT_LOOP in frames:
            found[_stage(frames.split(";"), stage_of=stage_of)] += int(count)
    return {stage: found[stage] / found.total() for stage in (*STAGES, BEHIND) if found[stage]}


def _stage(frames: list[str], *, stage_of: Mapping[str, str]) -> str:
    """Return the stage of the innermost function that has one. The event loop itself calls
    everything, so that it counts only where it is innermost of all.
    """
    names = [frame.partition(" (")[0] for frame in frames]
    for name in reversed(names):
        stage = stage_of.get(name) or stage_of.get(name.rpartition(".")[2])
        if stage is not None and (name != "Runner.run" or name is names[-1]):
            return stage
    return BEHIND
