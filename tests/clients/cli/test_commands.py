"""The command `clipper`: what it prints, and how it ends."""

import json
from pathlib import Path

import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from clipper_client import Client
from tests.clients.sources import Rows, predictor
from tests.clients.terminal import Terminal
from tests.integration.stack import Stack, eventually


@pytest.fixture
def artifact(linear: LogisticRegression, tmp_path: Path) -> Path:
    path = tmp_path / "churn.skops"
    skops.io.dump(linear, path)
    return path


def test_nobody_there_is_one_line(terminal: Terminal) -> None:
    terminal.types("status", "--url", "http://127.0.0.1:9", code=1)
    assert "Can't reach Clipper" in terminal.complaint
    assert len(terminal.complaint.splitlines()) == 1


@pytest.mark.usefixtures("known")
def test_it_deploys_a_file_asks_it_and_rolls_it_back(
    terminal: Terminal, artifact: Path, rows: Rows, linear: LogisticRegression, client: Client
) -> None:
    printed = terminal.types("deploy", "typed", artifact, "--app", "typed", "--slo-ms", 1000)
    assert printed == "typed:1 is live\n"
    assert terminal.json("export", "data", "typed") == []
    said = ("--allow-signature-change", "--reason", "better")
    second = terminal.json("deploy", "typed", artifact, *said)
    assert (second["version"], second["reason"]) == ("2", "better")
    release = client.request("GET", f"models/typed/releases/{second['id']}")
    assert release["allow_signature_change"] is True
    row = json.dumps(rows[0].tolist())
    assert terminal.types("predict", "typed", row) == f"{linear.predict(rows[:1])[0]}\n"
    answer = terminal.json("predict", "typed", row)
    beside = ("--metrics", '{"clicked": 1}')
    feedback = terminal.types("feedback", "typed", answer["query_id"], "--label", 1, *beside)
    assert feedback == "accepted\n"
    assert terminal.types("rollback", "typed", "--reason", "worse") == "typed:1 is live\n"
    assert terminal.types("scale", "typed", 1) == "typed:1 has 1 replicas\n"
    assert "typed" in terminal.types("status")
    assert terminal.json("logs", "typed")["lines"]


@pytest.mark.usefixtures("known")
def test_what_its_check_warns_of_is_said(terminal: Terminal, tmp_path: Path) -> None:
    source = tmp_path / "model.py"
    source.write_text(predictor(answer="return [0] * len(inputs)"))
    printed = terminal.types("deploy", "unasked", source, "--input-type", "json")
    assert printed == "unasked:1 is live\n"
    assert terminal.complaint.startswith("clipper: warning: unasked:1: Its check asked it no")
    terminal.types("deploy", "unasked", source, "--example", "[1]")
    assert terminal.complaint == ""
    terminal.types("scale", "unasked", 0)  # others want its slot


@pytest.mark.usefixtures("known", "churn")
def test_a_refusal_ends_with_one_and_the_servers_words(terminal: Terminal) -> None:
    printed = terminal.json("predict", "churn", "[1]", code=1)
    said = (printed["code"], printed["error"])
    assert said == ("invalid_input", "input: expected 30 numbers, got 1")
    assert terminal.complaint == "clipper: input: expected 30 numbers, got 1 [invalid_input]\n"
    terminal.types("predict", "churn", "[1,", code=1)
    assert "expected JSON" in terminal.complaint
    terminal.types("predict", "churn", "[[1], [2]]", "--batch", code=1)
    terminal.types("feedback", "churn", f"-{'a' * 80}", "--label", 1, code=1)
    assert "[invalid_receipt]" in terminal.complaint


@pytest.mark.usefixtures("known", "churn")
def test_keys_are_made_listed_and_revoked(terminal: Terminal, stack: Stack) -> None:
    text = terminal.types("keys", "create", "shop", "--app", "churn").strip()
    with Client(stack.url, text) as shop:
        assert shop.predict("churn", [0.0] * 30).query_id
    printed = {line.split()[1]: line for line in terminal.types("keys", "list").splitlines()}
    assert printed.keys() >= {"tests", "shop"}
    assert terminal.json("keys", "revoke", "shop")["active"] is False
    assert "shop" not in terminal.types("keys", "list")
    terminal.types("keys", "revoke", "shop", code=1)


@pytest.mark.usefixtures("known", "churn")
def test_top_shows_what_is_there_now(terminal: Terminal, client: Client, rows: Rows) -> None:
    client.predict("churn", rows[0])

    def shown() -> list[str]:
        printed = terminal.json("top", "--every", "0.1")
        return [row["application"] for row in printed["applications"]]

    eventually(lambda: "churn" in shown(), seconds=90, what="what was asked is shown")
    assert "VERSION" in terminal.types("top", "--every", "0.1", "--once")


@pytest.mark.usefixtures("known")
def test_it_tells_what_another_policy_would_have_earned(
    terminal: Terminal,
    client: Client,
    churn: str,
    rows: Rows,
    linear: LogisticRegression,
) -> None:
    before = terminal.json("what-if", churn)["earned"]["rows"]
    for row, label in zip(rows[:40], linear.predict(rows[:40]), strict=True):
        client.feedback(client.predict(churn, row), label=int(label))
    eventually(
        lambda: terminal.json("what-if", churn)["earned"]["rows"] == before + 40,
        seconds=90,
        what="the feedback is in the database",
    )
    heading, head, estimate = terminal.types("what-if", churn, "--policy", "ucb1").splitlines()
    assert heading.startswith(f"{before + 40} answers with feedback earned ")
    assert head.startswith("INSTEAD")
    assert estimate.startswith("ucb1")
    terminal.types("what-if", churn, "--policy", "luck", code=1)
    assert "luck" in terminal.complaint


@pytest.mark.usefixtures("known")
def test_it_plans_an_ab_test(terminal: Terminal, churn: str, client: Client) -> None:
    assumed = {"labels_per_day": 5000.0, "mean": 0.9, "likeness": 0.0, "people": 1e9}
    plan = client.plan(churn, gain=0.02, share=0.5, **assumed)
    assert (plan["state"], plan["split"]) == ("planned", [0.5, 0.5])
    options = ("--labels-per-day", 5000, "--mean", 0.9, "--likeness", 0, "--people", 1e9)
    typed = ("plan", churn, "--gain", 0.02, "--share", 0.5, *options)
    assert terminal.json(*typed) == plan
    said, head, *gains = terminal.types(*typed).splitlines()
    assert said == plan["explanation"]
    assert head.split() == ["DAYS", "SMALLEST", "GAIN", "THAT", "SHOWS"]
    assert [line.split()[0] for line in gains] == ["7", "14", "28"]
