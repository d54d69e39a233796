"""The targets, and what was seen of them.

A peer's throughput is that of the setting in which it does best; its latency is judged under each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.figures.claims import Claim
from benchmarks.peers.hosts import CLIPPER, ECHO, HITS, MISSES
from benchmarks.peers.peer import Peer
from benchmarks.peers.results import Entry, Results, middle, ratio

ALONE, LOADED = 1, 64
P99_MS, OF_ECHO, OF_P50 = 20.0, 0.6, 0.5
OURS, OURS_HITS, THEIR_ECHO = Entry(CLIPPER, MISSES), Entry(CLIPPER, HITS), Entry(ECHO, "")


def claims(results: Results, *, peers: Sequence[Peer]) -> list[Claim]:
    """Judge Clipper by itself, and beside each of those peers that were measured."""
    judged = [*_by_itself(results)]
    for peer in peers:
        if entries := results.entries_of(peer.title):
            judged.append(_throughput(results, peer=peer, entries=entries))
            judged += [_latency(results, peer=peer, entry=entry) for entry in entries]
    return judged


def throughput_ratio(results: Results, entry: Entry, *, connections: int = LOADED) -> float:
    return ratio(results.rates(OURS, connections), results.rates(entry, connections))


def _by_itself(results: Results) -> Iterator[Claim]:
    yield Claim(
        figure=CLIPPER,
        what=f"P99 of misses, {LOADED} connections",
        seen=middle(results.p99_ms(OURS, LOADED)),
        at_most=P99_MS,
        unit=" ms",
    )
    hits, echo = results.rates(OURS_HITS, LOADED), results.rates(THEIR_ECHO, LOADED)
    yield Claim(
        figure=CLIPPER,
        what=f"queries/s, {LOADED} connections, hits : bare echo",
        seen=ratio(hits, echo),
        at_least=OF_ECHO,
    )
    yield Claim(
        figure=CLIPPER,
        what="errors and default answers",
        seen=float(sum(results.errors(one) + results.defaults(one) for one in (OURS, OURS_HITS))),
        at_most=0.0,
    )


def _throughput(results: Results, *, peer: Peer, entries: Sequence[Entry]) -> Claim:
    seen, best = min((throughput_ratio(results, entry), entry) for entry in entries)
    return Claim(
        figure=peer.title,
        what=f"queries/s, {LOADED} connections, Clipper : {best.title}",
        seen=seen,
        at_least=peer.at_least,
    )


def _latency(results: Results, *, peer: Peer, entry: Entry) -> Claim:
    return Claim(
        figure=peer.title,
        what=f"P50 of a single client, Clipper : {entry.title}",
        seen=ratio(results.p50_ms(OURS, ALONE), results.p50_ms(entry, ALONE)),
        at_most=OF_P50,
    )
