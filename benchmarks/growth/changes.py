"""What following one change costs the interpreter of a web process, however much is registered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.charts import Panel
from benchmarks.command import Failed
from benchmarks.experiment import Experiment, Session
from benchmarks.frames import Frame, Records
from benchmarks.servers import waited_for
from benchmarks.telling import Columns, Target, rows_of
from scripts.stack.layout import ROOT
from scripts.stack.redis_server import find_server

SIZES, QUICK_SIZES = (200, 1000), (200,)
STARTED_SECONDS, MEASURED_SECONDS = 20.0, 600.0
SECRET = "".join(map(chr, range(48, 123)))


def measure(session: Session) -> Records:
    found: Records = []
    for size in QUICK_SIZES if session.quick else SIZES:
        folder = session.folder / f"changes-{size}"
        folder.mkdir()
        with _redis(folder) as url:
            seen = _measured(size, folder=folder, redis_url=url)
        shutil.rmtree(folder)
        session.say(f"  {size:>5,} registered: {seen['change_ms']:.2f} ms for a change")
        found.append({"size": size, **seen})
    return found


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    server, socket = find_server(), folder / "redis.sock"
    if server is None:
        raise Failed("no redis-server found")
    process = subprocess.Popen(
        [server, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder],
        stdout=subprocess.DEVNULL,
    )
    try:
        waited_for(socket.exists, seconds=STARTED_SECONDS, what="Redis")
        yield f"unix://{socket}?db=0"
    finally:
        process.kill()
        process.wait()


def _measured(size: int, *, folder: Path, redis_url: str) -> dict[str, float]:
    given = {
        "DATABASE_URL": f"sqlite:///{folder / 'registry.sqlite3'}",
        "REDIS_URL": redis_url,
        "DJANGO_SECRET_KEY": SECRET,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth.following", str(size)],
        cwd=ROOT, env=os.environ | given, stdout=subprocess.PIPE, check=False,
        timeout=MEASURED_SECONDS,
    )  # fmt: skip
    if done.returncode:
        raise Failed(f"the process that follows ended with {done.returncode}")
    return msgspec.json.decode(done.stdout, type=dict[str, float])


def targets(result: Frame) -> list[Target]:
    largest = result.sort_values("size").iloc[-1]
    what = f"{int(largest['size']):,} applications and as many models and versions registered"
    held = largest[["held_ms", "bulk_held_ms"]] - largest["idle_held_ms"]
    return [
        Target(f"CPU of a change, ms, {what}", largest["change_ms"], "≤ 2"),
        Target("the loop held by it longer than by what is done anyway, ms", held.iloc[0], "≤ 5"),
        Target("and where all change in one transaction, ms", held.iloc[1], "≤ 10"),
    ]


COLUMNS: Columns = {
    "registered": ("size", "{:,.0f}"),
    "CPU of a change, ms": ("change_ms", "{:.2f}"),
    "of each, where all change at once, ms": ("bulk_ms", "{:.2f}"),
    "loop held, worst, ms": ("held_ms", "{:.1f}"),
    "where all change at once, ms": ("bulk_held_ms", "{:.1f}"),
    "where nothing changes, ms": ("idle_held_ms", "{:.1f}"),
    "CPU where nothing changes": ("idle_share", "{:.1%}"),
}


def _each(result: Frame) -> Frame:
    names = {"change_ms": "one after the other", "bulk_ms": "all at once"}
    return result.set_index("size")[list(names)].rename(columns=names)


CHANGES = Experiment(
    name="changes",
    title="What following a change of the registry costs a web process",
    workload="objectives change one after the other, and all of them in one transaction",
    systems=("a web process that nobody asks",),
    measure=measure,
    targets=targets,
    panels=(Panel(title="CPU of a change, ms", of=_each, x="registered", limits=(2.0,)),),
    table=lambda result: rows_of(result, COLUMNS),
)
