"""The results as rows of text: for the terminal, and between marks of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from benchmarks.figures.claims import Claim
from benchmarks.peers.judging import ALONE, LOADED, OURS, throughput_ratio
from benchmarks.peers.results import Entry, Results, middle
from benchmarks.report import DASH, QUIET

CLAIMS_HEADER = ("server", "what", "wanted", "seen", "")


def table_of(results: Results) -> list[Sequence[str]]:
    """One row for each server and setting: medians of the rounds."""
    header = (
        "server", "setting", *(f"queries/s at {count}" for count in results.connections),
        f"spread at {LOADED}", "Clipper : it", "P50 alone, ms", f"P50 at {LOADED}, ms",
        f"P99 at {LOADED}, ms", "errors", f"cores at {LOADED}", "RSS, MiB", "PSS, MiB",
    )  # fmt: skip
    return [header, *(_row(results, entry) for entry in results.entries())]


def _row(results: Results, entry: Entry) -> Sequence[str]:
    rates = results.rates(entry, LOADED).values()
    return (
        entry.server,
        entry.setting or DASH,
        *(f"{middle(results.rates(entry, count)):,.0f}" for count in results.connections),
        f"{min(rates):,.0f}-{max(rates):,.0f}" if rates else DASH,
        DASH if entry == OURS else f"{throughput_ratio(results, entry):.2f}",
        f"{middle(results.p50_ms(entry, ALONE)):.2f}",
        f"{middle(results.p50_ms(entry, LOADED)):.2f}",
        f"{middle(results.p99_ms(entry, LOADED)):.1f}",
        f"{results.errors(entry):,}",
        f"{middle(results.cores(entry, LOADED)):.2f}",
        f"{middle(results.rss_mib(entry)):,.0f}",
        f"{middle(results.pss_mib(entry)):,.0f}",
    )


def claims_table(claims: Iterable[Claim]) -> list[Sequence[str]]:
    rows = [(c.figure, c.what, c.wanted, c.found, c.verdict) for c in claims]
    return [CLAIMS_HEADER, *rows]


def alone_line(results: Results) -> str:
    """What the model does without any server."""
    if not results.alone:
        return "The model alone was not measured."
    predicting = median(one.predicting for one in results.alone)
    parsing_too = median(one.parsing_too for one in results.alone)
    return (
        f"The model alone, batches of 64 in one process: {predicting:,.0f} rows/s; "
        f"with the parsing of each row's JSON {parsing_too:,.0f} rows/s."
    )


def conditions(results: Results) -> str:
    """How it was measured, and what a reader must know beside the numbers."""
    rounds = len({visit.round for visit in results.visits})
    lines = [
        f"Rounds: {rounds}, each load for {results.seconds_each} s, on {results.machine.cores} "
        f"cores, Python {results.machine.python}; {results.took_seconds / 60:.0f} minutes in all."
    ]
    lines += [
        f"Left out in round {one.round}: {Entry(one.server, one.setting).title}: {one.reason}"
        for one in results.failures
    ]
    disturbed, loads = results.disturbed
    if disturbed:
        lines.append(
            f"Doubtful: in {disturbed} of {loads} loads other processes kept more than "
            f"{QUIET:.0%} of a core busy; run it again on a quiet machine."
        )
    return "\n".join(lines)
