"""Rollouts from a terminal and a declaration: started, watched, ended, each with its exit code."""

import json
from pathlib import Path

import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from clipper_client import Client
from clipper_client.answers import Rollout
from tests.clients.terminal import Terminal
from tests.integration.stack import eventually


@pytest.fixture
def artifact(linear: LogisticRegression, tmp_path: Path) -> Path:
    path = tmp_path / "rolled.skops"
    skops.io.dump(linear, path)
    return path


@pytest.mark.usefixtures("known")
def test_a_rollout_from_its_start_to_its_end(
    terminal: Terminal, artifact: Path, client: Client
) -> None:
    terminal.types("deploy", "rolled", artifact, "--app", "rolled", "--rollout", "usual")
    assert client.request("GET", "models/rolled/rollouts/") == []  # nothing to compare with
    terminal.types("deploy", "rolled", artifact, "--rollout", "quick", "--no-wait")
    assert "rollout 1 of rolled:2" in terminal.types("rollout", "status", "rolled")
    begun = ("canary", "held")
    eventually(lambda: client.rollout("rolled").state in begun, seconds=60, what="its begin")

    for command in (("status",), ("top", "--once", "--every", "0.1")):
        lines = [line.split() for line in terminal.types(*command).splitlines()]
        assert ["ROLLOUT", "STATE", "QUERIES", "NEAREST", "GATE"] in lines
        assert any(line[0] == "rolled:2" and line[2:4] == ["10", "%"] for line in lines if line)

    terminal.types("rollout", "pause", "rolled", "--reason", "lunch")
    assert terminal.json("rollout", "wait", "rolled", code=4)["reason"] == "lunch"
    terminal.types("rollout", "abort", "rolled", code=1)
    assert "reason" in terminal.complaint
    terminal.types("rollout", "abort", "rolled", "--reason", "worse")
    assert terminal.json("rollout", "wait", "rolled", code=1)["state"] == "aborted"

    terminal.types("rollout", "start", "rolled", 2, "--plan", "quick")
    eventually(lambda: client.rollout("rolled").state in begun, seconds=60, what="its begin")
    terminal.types("rollout", "promote", "rolled", "--reason", "known from elsewhere")
    assert terminal.json("rollout", "wait", "rolled")["percent"] == 100.0
    assert client.request("GET", "models/rolled")["live_version"] == "2"


@pytest.mark.usefixtures("known")
def test_a_declared_rollout_is_begun_once(
    terminal: Terminal, artifact: Path, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "clipper.yaml"

    def declare(live: str) -> str:
        versions = [
            {"version": name, "runtime": "sklearn", "artifact": str(artifact)}
            for name in ("1", "2")
        ]
        model = {"name": "gradual", "input_type": "doubles", "live": live, "rollout": "usual"}
        file.write_text(json.dumps({"models": [{**model, "versions": versions}]}))
        return terminal.types("apply", "-f", file)

    declare("1")
    assert client.request("GET", "models/gradual")["live_version"] == "1"
    declare("2")
    rollout = client.rollout("gradual")
    assert (rollout.version, rollout.plan) == ("2", "usual")
    assert "nothing" in declare("2").lower()
    assert client.rollout("gradual").id == rollout.id
    client.act_on_rollout("gradual", "abort", reason="the test is over")


@pytest.mark.usefixtures("known")
def test_captured_queries_are_replayed(
    terminal: Terminal, artifact: Path, client: Client, linear: LogisticRegression
) -> None:
    terminal.types("deploy", "again", artifact, "--app", "again")
    client.request("PATCH", "applications/again", {"capture_rate": 1.0})
    terminal.types("deploy", "again", artifact, "--rollout", "usual", "--no-wait")
    row = [0.5] * linear.n_features_in_

    def replayed() -> bool:
        client.predict("again", row)
        try:
            return "as the live version" in terminal.types("replay", "again", 2, "again")
        except AssertionError:  # nothing was captured yet
            return False

    eventually(replayed, seconds=60, what="captured queries")
    found = client.replay("again", "1", application="again", since="1h")
    assert found["result"]["agreement_with_given"] == 1.0
    client.act_on_rollout("again", "abort", reason="the test is over")


def test_the_gate_nearest_to_a_verdict_is_named() -> None:
    def gate(name: str, verdict: str, evidence: float) -> dict[str, object]:
        return {
            **{"name": name, "application": "digits", "verdict": verdict, "evidence": evidence},
            "words": f"{name} so far",
        }

    known = {
        "id": 1,
        "release": 1,
        "model": "svm",
        "version": "2",
        "plan": "quick",
        "state": "canary",
    }
    gates = [
        gate("errors", "open", 0.2),
        gate("reward", "open", 0.9),
        gate("lateness", "no_worse", 3),
    ]
    rollout = Rollout(**known, gates=gates)  # type: ignore[arg-type]  # (a mapping of texts)
    assert rollout.nearest_gate == "reward in digits: reward so far"
    assert Rollout(**known, gates=gates[2:]).nearest_gate == ""  # type: ignore[arg-type]  # (as above)
