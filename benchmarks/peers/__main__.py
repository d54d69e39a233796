"""`make bench-peers`: Clipper beside other prediction servers, measured in rounds and judged."""

from collections.abc import Sequence
from functools import partial

from benchmarks import compare
from benchmarks.charts import Panel
from benchmarks.command import Failed
from benchmarks.compare import ALONE, CLIPPER, ECHO, LOADED, Entrant, Entry, loads, ratio, title
from benchmarks.experiment import Experiment, Session
from benchmarks.frames import Frame, Records, mid, of
from benchmarks.peers import hosts
from benchmarks.peers.roster import PEERS, PLAIN, ROSTER, Peer, questions
from benchmarks.study import Study
from benchmarks.telling import Rows, Target

ROUNDS, SECONDS, CONNECTIONS = 3, 4, (1, 16, 64, 128)
OURS, OUR_HITS, BARE_ECHO = (CLIPPER, hosts.MISSES), (CLIPPER, hosts.HITS), (ECHO, "")


def measure(session: Session) -> Records:
    asked = questions(session.folder)
    # Clipper and its yardstick first; a peer once for each of its settings, if it is there.
    entrants = [
        Entrant(CLIPPER, "", partial(hosts.running_clipper, asked)),
        Entrant(ECHO, "", partial(compare.echo, lambda folder: {"": asked.file(PLAIN)})),
    ]
    found: Records = []
    for peer in (PEERS[name] for name in session.options.only):
        try:
            installed = hosts.environment(peer.environment, say=session.say)
        except Failed as error:
            session.say(f"{peer.title} can't be installed, and is left out: {error}")
            found.append(compare.left_out(peer.title, "", f"not installed: {error}"))
            continue
        for setting in peer.settings:
            start = partial(
                hosts.running_peer, peer, setting, questions=asked, environment=installed
            )
            entrants.append(Entrant(peer.title, setting.name, start))
    return found + compare.compared(
        session, entrants, full=CONNECTIONS, rounds=ROUNDS, seconds=SECONDS
    )


def targets(result: Frame, *, peers: Sequence[Peer] = ROSTER) -> list[Target]:
    """Judge Clipper by itself, and beside each of those peers that were measured. A peer's
    throughput is that of the setting in which it does best; its latency is judged under each.
    """
    ours = of(result, kind=compare.LOAD, server=CLIPPER)
    failures = ours.reindex(columns=["errors", "default_count"]).sum().sum()
    busy, p99 = f"{LOADED} connections", mid(loads(result, OURS), "p99_ms")
    of_echo = ratio(result, OUR_HITS, BARE_ECHO)
    judged = [
        Target(f"Clipper: P99 of misses, {busy}", p99, "≤ 20 ms"),
        Target(f"Clipper: queries/s, {busy}, hits : bare echo", of_echo, "≥ 0.6"),
        Target("Clipper: errors and default answers", failures, "≤ 0"),
    ]
    for peer in peers:
        settings = [entry for entry in compare.entries(result) if entry[0] == peer.title]
        if settings:
            seen, best = min((ratio(result, OURS, entry), entry) for entry in settings)
            what = f"queries/s, {busy}, Clipper : {title(best)}"
            judged.append(Target(what, seen, f"≥ {peer.at_least:g}"))
        for entry in settings:
            seen = ratio(result, OURS, entry, what="p50_ms", connections=ALONE)
            what = f"P50 of a single client, Clipper : {title(entry)}"
            judged.append(Target(what, seen, "≤ 0.5"))
    return judged


def table(result: Frame) -> Rows:
    """Return a row for each server and setting."""

    def beside(entry: Entry) -> float:
        return float("nan") if entry == OURS else ratio(result, OURS, entry)

    memory = {"RSS, MiB": ("rss", compare.COUNT), "PSS, MiB": ("pss", compare.COUNT)}
    return compare.table_of(result, memory, beside, what="Clipper : it")


def _panel(what: str, connections: int, heading: str) -> Panel:
    def values(result: Frame) -> Frame:
        seen = {
            title(e): mid(loads(result, e, connections=connections), what)
            for e in compare.entries(result)
        }
        return Frame({heading: seen})

    return Panel(title=heading, of=values, across=True)


ONLY = {"nargs": "+", "choices": PEERS, "default": list(PEERS), "help": "those beside Clipper"}
STUDY = Study.of(
    Experiment(
        name="peers",
        title="Clipper beside other prediction servers",
        workload="wrk, 784 numbers as JSON, one connection and many",
        systems=(CLIPPER, ECHO, *(peer.title for peer in ROSTER)),
        measure=measure,
        targets=targets,
        panels=(
            _panel("rate", LOADED, f"Queries/s, {LOADED} connections"),
            _panel("p50_ms", ALONE, "P50 of a single client, ms"),
            _panel("p99_ms", LOADED, f"P99, {LOADED} connections, ms"),
        ),
        size=(4.8, 5.6),
        table=table,
        notes=compare.notes,
    ),
    about=__doc__,
    quick="one short round, for a first look",
    options={**compare.OPTIONS, "--only": ONLY},
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
