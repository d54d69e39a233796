"""The closed loop over HTTP: one load on one URL by wrk, which keeps its connections busy."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.command import Failed

SCRIPT = Path(__file__).with_name("wrk.lua")
GRACE_SECONDS = 30.0
# What it counts in, which is a part of each body.
COUNTER_DIGITS = 9
COUNTER = f"0.{COUNTER_DIGITS * '0'}"


class WrkResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of wrk. `requests` counts every answer; `status` the refusals among them."""

    requests: int
    duration_us: int
    p50_us: int
    p99_us: int
    connect: int
    read: int
    write: int
    timeout: int
    status: int

    @property
    def answered(self) -> int:
        """Requests that were answered with 200."""
        return self.requests - self.status

    @property
    def rate(self) -> float:
        """Answered requests in a second."""
        return self.answered / (self.duration_us / 1e6)

    @property
    def errors(self) -> int:
        return self.connect + self.read + self.write + self.timeout + self.status


def parse_result(output: str) -> WrkResult:
    """Read the line of JSON that wrk.lua printed at the end; wrk's own words are passed over."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise Failed(f"wrk printed no result: {output.strip()[-500:]}")
    return msgspec.json.decode(lines[-1], type=WrkResult)


class Load(NamedTuple):
    """The bodies for a URL. `unique` makes each a question that nobody has asked before."""

    url: str
    bodies: Path
    unique: bool
    connections: int


class LoadGenerator:
    """Runs wrk, one load at a time; its counter never repeats, so unique bodies stay unique."""

    def __init__(self, *, api_key: str) -> None:
        self._environment = {**os.environ, "CLIPPER_BENCH_KEY": api_key}
        self._sent = 0

    def run(self, load: Load, *, seconds: int) -> WrkResult:
        if shutil.which("wrk") is None:
            raise Failed("wrk isn't installed; on Debian: apt-get install wrk")
        command = [
            "wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "--timeout", "10s",
            "--latency", "-s", str(SCRIPT), load.url,
            "--", str(load.bodies), "unique" if load.unique else "repeat", str(self._sent),
        ]  # fmt: skip
        finished = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=False,
            timeout=seconds + GRACE_SECONDS,
        )  # fmt: skip
        if finished.returncode != 0:
            raise Failed(f"wrk failed: {(finished.stderr or finished.stdout).strip()}")
        result = parse_result(finished.stdout)
        # Those in flight at the end are not in the result.
        self._sent += result.requests + load.connections + 1
        if self._sent >= 10**COUNTER_DIGITS:
            raise Failed("the counter in the bodies has run full")
        return result
