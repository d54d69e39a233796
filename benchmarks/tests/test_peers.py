"""Clipper beside its peers: what is asked, what is configured, and what the numbers amount to."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks import charts
from benchmarks.linear import input_of
from benchmarks.peers import roster
from benchmarks.peers.environments import FOLDER, REQUIREMENTS, fingerprint
from benchmarks.peers.hosts import CLIPPER, ECHO, HITS, MISSES, variables_of
from benchmarks.peers.peer import (
    NO_BATCHES,
    NO_WAIT,
    OPEN_INFERENCE,
    PLAIN,
    ROWS,
    WAIT,
    Home,
    Protocol,
    Questions,
)
from benchmarks.peers.results import (
    Entry,
    Failure,
    Machine,
    Measured,
    Results,
    Visit,
    conditions,
    draw,
    middle,
    ratio,
    table_of,
    targets,
)
from benchmarks.peers.roster import PEERS
from benchmarks.wrk import WrkResult
from scripts.stack.layout import ROOT

HOME = Home(environment=Path("/venv"), folder=Path("/run"), ports=(1, 2, 3))


def visit(
    server: str,
    setting: str,
    *,
    number: int = 1,
    rate: int = 1000,
    p50_ms: float = 1.0,
    elsewhere: float = 0.0,
) -> Visit:
    wrk = WrkResult(
        requests=rate,
        duration_us=1_000_000,
        p50_us=round(p50_ms * 1e3),
        p90_us=2000,
        p99_us=9000,
        max_us=9000,
        connect=0,
        read=0,
        write=0,
        timeout=0,
        status=0,
    )
    loads = [
        Measured(connections=count, wrk=wrk, cores=1.0, elsewhere=elsewhere) for count in (1, 64)
    ]
    return Visit(
        round=number, server=server, setting=setting, loads=loads, processes=2, rss_mib=100.0,
        pss_mib=50.0,
    )  # fmt: skip


def results(*visits: Visit) -> Results:
    return Results(
        machine=Machine(cores=2, python="3.11", system="Linux"),
        quick=False,
        seconds_each=4,
        connections=[1, 64],
        visits=list(visits),
    )


BESIDE_TRITON = (
    visit(CLIPPER, MISSES, rate=9000, p50_ms=0.6),
    visit(CLIPPER, HITS, rate=12_000),
    visit(ECHO, "", rate=24_000),
    visit("Triton", "wait 2 ms", rate=10_000, p50_ms=2.6),
    visit("Triton", "no wait", rate=8000, p50_ms=0.4),
)


@pytest.mark.parametrize("protocol", [PLAIN, ROWS, OPEN_INFERENCE], ids=lambda one: one.name)
def test_bodies_are_json_that_hold_the_same_numbers(protocol: Protocol, tmp_path: Path) -> None:
    asked = Questions(arrays=("[0.0,0.25]",), labels=(7,), model=tmp_path, folder=tmp_path)
    (line,) = asked.file(protocol).read_text().splitlines()
    assert json.loads(line)
    assert "[0.0,0.25]" in line
    assert list(asked.samples(protocol, count=5)) == [(line, 7)]


def test_the_array_is_what_a_plain_body_holds() -> None:
    assert input_of('{"input":[0.5,1]}') == "[0.5,1]"


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        (PLAIN, {"output": 3}),
        (ROWS, [3]),
        (OPEN_INFERENCE, {"outputs": [{"name": "output", "shape": [1, 1], "data": [3]}]}),
    ],
)
def test_the_class_is_found_in_an_answer(protocol: Protocol, answer: object) -> None:
    assert protocol.label(answer) == 3


def test_triton_waits_in_microseconds() -> None:
    assert "max_queue_delay_microseconds: 2000 }" in roster.triton_config(WAIT)
    assert "max_queue_delay_microseconds: 0 }" in roster.triton_config(NO_WAIT)
    assert "max_batch_size: 64" in roster.triton_config(WAIT)


def test_mlserver_waits_in_seconds_and_has_no_worker_process() -> None:
    assert roster.mlserver_model_settings(WAIT)["max_batch_time"] == 0.002
    assert roster.mlserver_model_settings(NO_BATCHES)["max_batch_time"] == 0
    assert roster.mlserver_settings(HOME)["parallel_workers"] == 0


def test_every_peer_has_one_thread_and_its_own_programs_first() -> None:
    variables = variables_of(HOME, WAIT, model=Path("/m.npz"))
    assert variables["OMP_NUM_THREADS"] == "1"
    assert variables["PATH"].startswith("/venv/bin:")
    assert variables["PEER_WAIT_MS"] == "2.0"


def test_every_requirement_of_a_peer_is_pinned() -> None:
    for peer in PEERS.values():
        lines = (REQUIREMENTS / f"{peer.environment}.txt").read_text().splitlines()
        assert lines
        assert [line for line in lines if "==" not in line.partition("#")[0]] == []


def test_other_pins_need_another_environment(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("mosec==1\n")
    before = fingerprint(file)
    file.write_text("mosec==2\n")
    assert fingerprint(file) != before


def test_git_ignores_the_environments() -> None:
    assert f"{FOLDER.name}/" in (ROOT / ".gitignore").read_text().splitlines()


def test_a_ratio_is_the_median_of_the_rounds_that_both_have() -> None:
    assert ratio({1: 10.0, 2: 40.0, 3: 90.0}, {1: 10.0, 2: 10.0, 4: 1.0}) == 2.5
    assert math.isnan(ratio({1: 1.0}, {}))


def test_medians_are_over_the_rounds() -> None:
    found = results(
        *(visit("x", "", number=n, rate=rate) for n, rate in ((1, 10), (2, 90), (3, 30)))
    )
    assert middle(found.of(Entry("x", ""), "rate")) == 30


def test_a_peer_is_judged_by_its_best_throughput_and_by_each_latency() -> None:
    judged = targets(results(*BESIDE_TRITON), peers=list(PEERS.values()))
    throughput, *latencies = (target for target in judged if target.figure == "Triton")
    assert (throughput.seen, throughput.holds) == (pytest.approx(0.9), False)
    assert "Triton, wait 2 ms" in throughput.what
    assert [target.what.rpartition(": ")[2] for target in latencies] == [
        "Triton, wait 2 ms",
        "Triton, no wait",
    ]
    assert latencies[1].seen == pytest.approx(1.5)


def test_peers_that_were_not_measured_are_not_judged() -> None:
    judged = targets(results(*BESIDE_TRITON), peers=list(PEERS.values()))
    assert {target.figure for target in judged} == {CLIPPER, "Triton"}


def test_hits_are_compared_with_the_echo() -> None:
    judged = targets(results(*BESIDE_TRITON), peers=[])
    (hits,) = (target for target in judged if "hits : bare echo" in target.what)
    assert (hits.seen, hits.verdict) == (0.5, "MISSED")


def test_without_clipper_nothing_holds() -> None:
    judged = targets(results(visit("Triton", "no wait")), peers=[PEERS["triton"]])
    assert not any(target.holds for target in judged if target.figure == "Triton")


def test_the_table_has_a_row_for_every_setting() -> None:
    header, *rows = table_of(results(*BESIDE_TRITON))
    assert [row[:4] for row in rows][3:] == [
        ("Triton", "wait 2 ms", "10,000", "10,000"),
        ("Triton", "no wait", "8,000", "8,000"),
    ]
    assert [row[header.index("Clipper : it")] for row in rows] == [
        "-", "0.75", "0.38", "0.90", "1.12",
    ]  # fmt: skip


def test_what_went_wrong_is_said_with_the_numbers() -> None:
    found = results(*BESIDE_TRITON)
    assert "Doubtful" not in conditions(found)
    found.failures.append(
        Failure(round=2, server="mosec", setting="no wait", reason="it answered 500")
    )
    found.visits.append(visit("LitServe", "no wait", elsewhere=0.5))
    assert "round 2: mosec, no wait: it answered 500" in conditions(found)
    assert "in 2 of 12 loads" in conditions(found)


def test_the_page_has_both_marks() -> None:
    page = (ROOT / "docs/results/peers.md").read_text()
    for mark in ("measured", "judged"):
        assert f"<!-- {mark} -->\n" in page
        assert f"<!-- /{mark} -->\n" in page


def test_the_chart_has_three_panels() -> None:
    with charts.applied():
        figure = draw(results(*BESIDE_TRITON))
    assert len(figure.axes) == 3
