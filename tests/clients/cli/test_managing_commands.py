"""Commands that delete, route, set a policy and follow logs."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from math import inf
from pathlib import Path
from threading import Timer

import pytest
from sklearn.linear_model import LogisticRegression

from clipper_client import Client
from clipper_client.cli.top import numbers_in, quantile, rates
from clipper_site import ROOT
from tests.clients.sources import Rows, predictor
from tests.clients.terminal import Terminal
from tests.integration.stack import Stack


@pytest.fixture(scope="module")
def spare(client: Client, linear: LogisticRegression, rows: Rows) -> str:
    """A model with two versions, of which the second one is live, and its application."""
    for _ in range(2):
        client.deploy("spare", linear, example=rows[:5], app="spare", slo_ms=1_000)
    return "spare"


@pytest.mark.usefixtures("known")
def test_routes_are_listed_added_set_and_removed(terminal: Terminal, spare: str) -> None:
    def printed(*typed: object) -> list[tuple[str, str | None, float]]:
        rows = terminal.json("route", *typed)
        return [(row["model"], row["version"], row["weight"]) for row in rows]

    assert printed("list", spare) == [(spare, None, 1.0)]
    assert "the live one, 2" in terminal.types("route", "list", spare)
    both = [(spare, None, 1.0), (spare, "1", 3.0)]
    assert printed("add", spare, f"{spare}:1", "--weight", 3) == both
    one_two = [(spare, "1", 1.0), (spare, "2", 1.0)]
    assert printed("set", spare, f"{spare}:1", f"{spare}:2") == one_two
    assert printed("remove", spare, f"{spare}:2") == [(spare, "1", 1.0)]
    terminal.types("route", "remove", spare, f"{spare}:2", code=1)
    terminal.types("route", "add", spare, code=1)
    terminal.types("route", "list", spare, "churn", code=1)
    assert printed("remove", spare, f"{spare}:1") == []
    assert terminal.types("route", "list", spare) == f"{spare} asks no model\n"
    assert printed("add", spare, spare) == [(spare, None, 1.0)]


@pytest.mark.usefixtures("known")
def test_a_policy_is_shown_and_set(terminal: Terminal, spare: str) -> None:
    assert terminal.types("policy", spare) == "static: its parameters are the defaults\n"
    assert terminal.types("policy", spare, "exp3", "--param", "eta=0.1") == "exp3: eta 0.1\n"
    printed = terminal.json("policy", spare, "--param", "floor=0.05")
    assert printed == {"policy": "exp3", "policy_params": {"eta": 0.1, "floor": 0.05}}
    assert terminal.json("policy", spare, "static")["policy_params"] == {}
    for typed in (("exp5",), ("exp3", "--param", "flor=0.1")):
        terminal.types("policy", spare, *typed, code=1)
    terminal.types("policy", spare, "--param", "eta", code=1)
    assert "expected NAME=VALUE" in terminal.complaint


class Typed(io.StringIO):
    """Text that somebody types at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("known")
def test_what_is_in_use_stays_and_the_rest_is_deleted(
    terminal: Terminal, client: Client, spare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.types("delete", "model", spare, code=1)
    assert "--yes" in terminal.complaint
    terminal.types("delete", "model", spare, "--yes", code=1)
    terminal.types("delete", "version", f"{spare}:2", "--yes", code=1)
    terminal.types("delete", "version", spare, "--yes", code=1)
    assert "MODEL:VERSION" in terminal.complaint
    terminal.types("route", "remove", spare, spare)
    monkeypatch.setattr(sys, "stdin", Typed("\n"))
    terminal.types("delete", "version", f"{spare}:1", code=1)
    assert "nothing was deleted" in terminal.complaint
    monkeypatch.setattr(sys, "stdin", Typed("yes\n"))
    printed = terminal.types("delete", "version", f"{spare}:1")
    assert printed == f"version {spare}:1 is deleted\n"
    assert terminal.json("delete", "application", spare, "-y")["deleted"] is True
    assert terminal.types("delete", "model", spare, "-y") == f"model {spare} is deleted\n"
    terminal.types("delete", "model", spare, "-y", code=1)
    assert "[not_found]" in terminal.complaint


@pytest.fixture
def talkative(client: Client, tmp_path: Path) -> Iterator[str]:
    source = tmp_path / "talkative.py"
    prints = "[print('asked about', given, flush=True) for given in inputs]"
    source.write_text(predictor(answer=f"{prints}; return [0] * len(inputs)"))
    client.deploy("talkative", source, input_type="json", example=1, app="talkative", slo_ms=1_000)
    yield "talkative"
    client.scale("talkative", 0)  # others want its slot


def test_logs_are_followed(
    stack: Stack, key: str, talkative: str, client: Client, terminal: Terminal
) -> None:
    typed = [sys.executable, "-m", "clipper_client", "logs", talkative, "-f", "--lines", "1"]
    environment = {
        **os.environ,
        "CLIPPER_URL": stack.url,
        "CLIPPER_KEY": key,
        "PYTHONPATH": str(ROOT / "clients/python/src"),
    }
    client.predict(talkative, "before")
    with subprocess.Popen(typed, stdout=subprocess.PIPE, env=environment, text=True) as following:
        ending = Timer(60.0, following.kill)
        ending.start()
        lines = iter(following.stdout or ())
        assert next(lines) == "asked about before\n"
        for number in range(3):
            client.predict(talkative, number)
            assert next(lines) == f"asked about {number}\n"
        following.send_signal(signal.SIGINT)
        assert following.wait(timeout=30) == 130
        ending.cancel()


def test_latencies_are_of_the_queries_in_between() -> None:
    def counted(*counts: float) -> str:
        printed = {'queries_total{application="a"': counts[-1]} | {
            f'latency_seconds_bucket{{application="a",le="{bound}"': count
            for bound, count in zip(("0.01", "0.02", "0.04", "+Inf"), counts, strict=True)
        }
        return "".join(f"clipper_application_{name}}} {n}\n" for name, n in printed.items())

    before, now = numbers_in(counted(50, 50, 50, 50)), numbers_in(counted(50, 150, 150, 150))
    (row,) = rates(before, now, seconds=2.0)["applications"]
    assert (row["queries"], row["p50_ms"], row["p99_ms"]) == (50.0, 20.0, 20.0)
    assert rates(now, now, seconds=1.0)["applications"][0]["p99_ms"] is None
    slow = numbers_in(counted(50, 150, 150, 250))["application", "a"]
    assert quantile(before["application", "a"], slow, q=0.99) == inf
