"""What the runs amount to: medians and spreads, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.counters import Change
from benchmarks.load import Load, WrkResult
from benchmarks.processes import Memory, cores_of_replicas

DASH = "-"
# A core kept busy by others to this share makes a run doubtful.
QUIET = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One scenario once: what wrk saw, how Clipper's counters moved (None: not Clipper)."""

    wrk: WrkResult
    cores: Mapping[str, float]
    change: Change | None = None


@dataclass(slots=True, kw_only=True)
class Scenario:
    """A load under a name and its runs, one a round."""

    name: str
    load: Load
    application: str | None = None
    yardstick: str | None = None
    runs: list[Run] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        return [run.wrk.rate for run in self.runs]

    @property
    def rate(self) -> float:
        return median(self.rates)

    @property
    def errors(self) -> int:
        return sum(run.wrk.errors for run in self.runs)

    def latency_ms(self, percentile: str) -> float:
        return float(median(getattr(run.wrk, f"{percentile}_us") for run in self.runs)) / 1e3

    def cores(self, role: str) -> float:
        return median(run.cores.get(role, 0.0) for run in self.runs)

    @property
    def server_us(self) -> float:
        """CPU time of the server for one query, in µs: busy neighbours disturb it least."""
        role = "web" if self.application else "echo"
        return median(1e6 * run.cores.get(role, 0.0) / run.wrk.rate for run in self.runs)

    @property
    def disturbed(self) -> int:
        """How many runs had to share the machine with other processes."""
        return sum(run.cores["elsewhere"] > QUIET for run in self.runs)

    def changes(self) -> list[Change]:
        return [run.change for run in self.runs if run.change is not None]


def ratio(scenario: Scenario, *, all_scenarios: Mapping[str, Scenario]) -> float | None:
    """Median of the rounds' ratios to the yardstick: a slow round is slow for both."""
    if scenario.yardstick is None:
        return None
    theirs = all_scenarios[scenario.yardstick].rates
    return median(ours / other for ours, other in zip(scenario.rates, theirs, strict=True))


def table(rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """Columns as wide as they need to be, the first `left` to the left, the others to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def throughput_table(scenarios: Mapping[str, Scenario]) -> str:
    header = ("scenario", "conn", "queries/s", "spread", "x echo", "p50 ms", "p99 ms", "errors")
    return table([header, *(_throughput_row(one, scenarios) for one in scenarios.values())])


def _throughput_row(scenario: Scenario, scenarios: Mapping[str, Scenario]) -> Sequence[str]:
    relative = ratio(scenario, all_scenarios=scenarios)
    return (
        scenario.name,
        str(scenario.load.connections),
        f"{scenario.rate:,.0f}",
        f"{min(scenario.rates):,.0f}-{max(scenario.rates):,.0f}",
        DASH if relative is None else f"{relative:.2f}",
        f"{scenario.latency_ms('p50'):.2f}",
        f"{scenario.latency_ms('p99'):.2f}",
        str(scenario.errors),
    )


def inside_table(scenarios: Mapping[str, Scenario]) -> str:
    """What went on inside: cache, defaults, batches, and whose cores were busy."""
    header = (
        "scenario", "hits", "defaults", "late", "batch", "batch ms", "model ms",
        "server us", "server", "replicas", "redis", "wrk", "elsewhere",
    )  # fmt: skip
    return table([header, *map(_inside_row, scenarios.values())])


def _inside_row(scenario: Scenario) -> Sequence[str]:
    changes = scenario.changes()
    application = scenario.application
    numbers: Sequence[str] = (DASH,) * 6
    if changes and application is not None:
        numbers = (
            f"{median(change.hit_ratio for change in changes):.1%}",
            f"{median(change.default_ratio(application) for change in changes):.2%}",
            f"{median(change.late_ratio(application) for change in changes):.2%}",
            f"{median(change.mean_batch for change in changes):.1f}",
            f"{median(change.mean_batch_ms for change in changes):.2f}",
            f"{median(change.mean_model_ms for change in changes):.2f}",
        )
    server = scenario.cores("web" if application else "echo")
    replicas = median(cores_of_replicas(run.cores) for run in scenario.runs)
    cores = [server, replicas, *map(scenario.cores, ("redis", "wrk", "elsewhere"))]
    shares = (f"{value:.0%}" for value in cores)
    return (scenario.name, *numbers, f"{scenario.server_us:.0f}", *shares)


def doubts(scenarios: Mapping[str, Scenario]) -> str | None:
    """Say so where other processes had a part in the result."""
    disturbed = sum(scenario.disturbed for scenario in scenarios.values())
    if not disturbed:
        return None
    runs = sum(len(scenario.runs) for scenario in scenarios.values())
    return (
        f"Doubtful: in {disturbed} of {runs} runs other processes kept more than {QUIET:.0%} of a "
        "core busy. Rates, latencies and ratios may be theirs as much as Clipper's; run it again "
        "on a quiet machine."
    )


def batch_lines(scenarios: Mapping[str, Scenario]) -> str:
    """The sizes of the batches of each version in each scenario's last round."""
    lines = []
    for scenario in scenarios.values():
        for change in scenario.changes()[-1:]:
            for version in change.versions():
                sizes = _sizes(change.batches(of=version))
                lines.append((f"{scenario.name}, {version}", sizes))
    width = max((len(name) for name, _ in lines), default=0)
    return "\n".join(f"{name.ljust(width)}  {sizes}" for name, sizes in lines)


def _sizes(batches: Mapping[float, int]) -> str:
    total = sum(batches.values())
    return "  ".join(f"≤{bound:g}: {count / total:.0%}" for bound, count in batches.items())


def memory_table(before: Mapping[str, Memory], after: Mapping[str, Memory]) -> str:
    header = ("memory in MiB", "processes", "RSS before", "RSS after", "PSS before", "PSS after")
    return table([header, *(_memory_row(role, before.get(role), after[role]) for role in after)])


def _memory_row(role: str, before: Memory | None, after: Memory) -> Sequence[str]:
    old = (DASH, DASH) if before is None else (f"{before.rss:.0f}", f"{before.pss:.0f}")
    return (role, str(after.count), old[0], f"{after.rss:.0f}", old[1], f"{after.pss:.0f}")


def as_json(scenario: Scenario, *, all_scenarios: Mapping[str, Scenario]) -> dict[str, Any]:
    return {
        "name": scenario.name,
        "connections": scenario.load.connections,
        "queries_per_second": scenario.rate,
        "ratio_to_echo": ratio(scenario, all_scenarios=all_scenarios),
        "p50_ms": scenario.latency_ms("p50"),
        "p99_ms": scenario.latency_ms("p99"),
        "errors": scenario.errors,
        "server_cpu_us_per_query": scenario.server_us,
        "disturbed_rounds": scenario.disturbed,
        "rounds": [_run_as_json(run, application=scenario.application) for run in scenario.runs],
    }


def _run_as_json(run: Run, *, application: str | None) -> dict[str, Any]:
    change = run.change
    values = {name: getattr(run.wrk, name) for name in run.wrk.__struct_fields__}
    document: dict[str, Any] = {"wrk": values, "cores": dict(run.cores)}
    if change is not None and application is not None:
        document |= {
            "hit_ratio": change.hit_ratio,
            "default_ratio": change.default_ratio(application),
            "late_ratio": change.late_ratio(application),
            "mean_batch": change.mean_batch,
            "mean_batch_ms": change.mean_batch_ms,
            "mean_model_ms": change.mean_model_ms,
            "batches": {
                version: {
                    f"{bound:g}": count for bound, count in change.batches(of=version).items()
                }
                for version in change.versions()
            },
        }
    return document


def memory_as_json(memory: Mapping[str, Memory]) -> dict[str, Any]:
    return {role: asdict(value) for role, value in memory.items()}


def write_json(file: Path, *, document: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=2) + "\n")
