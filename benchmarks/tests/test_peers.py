"""Servers beside each other: what is asked, what is configured, what the numbers amount to."""

import json
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import compare
from benchmarks.command import Failed
from benchmarks.compare import CLIPPER, ECHO, LOAD, Entrant, Host, Row
from benchmarks.experiment import Session
from benchmarks.frames import Frame, Records
from benchmarks.peers.__main__ import STUDY
from benchmarks.peers.hosts import HITS, MISSES, REQUIREMENTS
from benchmarks.peers.roster import (
    OPEN_INFERENCE,
    PEERS,
    PLAIN,
    ROWS,
    WAIT,
    Home,
    Protocol,
    Questions,
)
from benchmarks.tests.drawing import told
from clipper_site import ROOT

HOME = Home(environment=Path("/venv"), folder=Path("/run"), ports=(1, 2, 3))


def visit(
    server: str, setting: str, *, rate: float = 1000.0, p50_ms: float = 1.0, turn: int = 1,
    elsewhere: float = 0.0,
) -> Records:  # fmt: skip
    about = {"kind": LOAD, "server": server, "setting": setting, "round": turn}
    seen = {"rate": rate, "p50_ms": p50_ms, "p99_ms": 9.0, "errors": 0, "cores": 1.0}
    more = {"rss": 100.0, "pss": 50.0, "elsewhere": elsewhere, "server_us": 50.0}
    return [about | seen | more | {"connections": count} for count in (1, 64)]


BESIDE_TRITON: Records = [
    *visit(CLIPPER, MISSES, rate=9000.0, p50_ms=0.6),
    *visit(CLIPPER, HITS, rate=12_000.0),
    *visit(ECHO, "", rate=24_000.0),
    *visit("Triton", "wait 2 ms", rate=10_000.0, p50_ms=2.6),
    *visit("Triton", "no wait", rate=8000.0, p50_ms=0.4),
]


@pytest.mark.parametrize("protocol", [PLAIN, ROWS, OPEN_INFERENCE], ids=lambda one: one.name)
def test_bodies_are_json_that_hold_the_same_numbers(protocol: Protocol, tmp_path: Path) -> None:
    asked = Questions(["[0.0,0.25]"], [7], None, tmp_path, tmp_path)
    (line,) = asked.file(protocol).read_text().splitlines()
    assert json.loads(line)
    assert "[0.0,0.25]" in line
    assert asked.samples(protocol) == [(line, 7)]


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


@pytest.mark.parametrize("name", ["mosec", "litserve", "ray"])
def test_a_peer_that_is_a_module_of_ours_runs_in_its_own_environment(name: str) -> None:
    command, _ = PEERS[name].launch(HOME, WAIT)
    assert command[:2] == ["/venv/bin/python", "-m"]
    assert (ROOT / f"{command[2].replace('.', '/')}.py").exists()


def test_every_requirement_of_a_peer_is_pinned() -> None:
    for peer in PEERS.values():
        lines = (REQUIREMENTS / f"{peer.environment}.txt").read_text().splitlines()
        assert lines
        assert [line for line in lines if "==" not in line.partition("#")[0]] == []


def test_who_does_not_answer_is_left_out_with_the_reason(tmp_path: Path, monkeypatch) -> None:
    @contextmanager
    def broken(folder: Path):
        raise Failed("it answered 500")
        yield

    @contextmanager
    def well(folder: Path):
        rows = [Row("fast", "http://x/", folder)]
        yield Host(rows=rows, processes=dict, server="", wrk=SimpleNamespace(run=lambda *a, **k: 0))

    seen = {"answered": 1, "rate": 5.0, "elsewhere": 0.5}
    monkeypatch.setattr(compare, "sampled", lambda load, **k: seen | {"connections": 64})
    options = SimpleNamespace(rounds=2, seconds=1)
    session = Session(folder=tmp_path, results=tmp_path, options=options)
    entrants = [Entrant("mosec", "no wait", broken), Entrant("other", "", well)]
    found = Frame(compare.compared(session, entrants, full=(64,), rounds=3, seconds=4))
    assert list(found["setting"]) == ["no wait", "fast", "fast", "no wait"]
    told = compare.notes(found)
    assert told.count("Left out: mosec, no wait: it answered 500") == 2
    assert "in 2 of 2 loads" in told
    assert "Doubtful" not in compare.notes(Frame(BESIDE_TRITON))


def test_a_peer_is_judged_by_its_best_throughput_and_by_each_latency(tmp_path: Path) -> None:
    *_, throughput, waiting, at_once = told(STUDY.experiments[0], BESIDE_TRITON, tmp_path)
    assert (throughput.seen, throughput.holds) == (pytest.approx(0.9), False)
    assert "Triton, wait 2 ms" in throughput.what
    assert waiting.what.endswith("Triton, wait 2 ms")
    assert (at_once.seen, at_once.holds) == (pytest.approx(1.5), False)
