"""A file of feedback is given in parts, and each line that is rejected is named."""

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from clipper_client import Client
from tests.clients.conftest import FEATURES
from tests.clients.sources import Rows
from tests.clients.terminal import Terminal

pytestmark = pytest.mark.usefixtures("known")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


def write(file: Path, rows: list[list[Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows(rows)


def test_labels_and_rewards_of_queries(
    terminal: Terminal, client: Client, churn: str, rows: Rows, file: Path
) -> None:
    ids = [client.predict(churn, row).query_id for row in rows[:6]]
    write(
        file,
        [
            ["customer", "label", "query_id", "reward"],
            ["a", "1", ids[0], ""],
            ["b", "", ids[1], "0.5"],
            ["c", "1", ids[0], ""],
            ["d", "1", "forged", ""],
            ["e", "", ids[2], ""],
            ["f", "1", ids[3], "1"],
            ["g", "1"],
            ["h", "", ids[4], "2"],
            ["i", "a text", ids[5], ""],
        ],
    )
    printed = terminal.json("feedback", churn, "-f", file, code=1)
    rejected = {each["line"]: each["code"] for each in printed["rejected"]}
    assert (printed["accepted"], printed["duplicates"]) == (2, 1)
    codes = {5: "invalid_receipt", 10: "invalid_input"}
    assert rejected == dict.fromkeys((6, 7, 8, 9), "malformed") | codes
    assert terminal.types("feedback", churn, "--file", file, code=1) == (
        "0 accepted, 3 known already, 6 rejected\n"
    )
    assert f"clipper: {file}, line 5: query_id: not a token" in terminal.complaint


def test_labelled_inputs_are_counted_once_however_often_the_file_is_given(
    terminal: Terminal, churn: str, rows: Rows, file: Path
) -> None:
    head = [*(f"x{k}" for k in range(FEATURES)), "label"]
    write(file, [head, *([*row.tolist(), 1] for row in rows[:600]), [*rows[0].tolist(), 1]])
    printed = terminal.types("feedback", churn, "-f", file)
    assert printed == "601 accepted, 0 known already, 0 rejected\n"
    printed = terminal.types("feedback", churn, "-f", file)
    assert printed == "0 accepted, 601 known already, 0 rejected\n"
    file = file.rename(file.with_name("other.csv"))
    printed = terminal.types("feedback", churn, "-f", file)
    assert printed == "601 accepted, 0 known already, 0 rejected\n"


def test_lines_of_json_are_as_the_server_takes_them(
    terminal: Terminal, client: Client, churn: str, rows: Rows, file: Path
) -> None:
    lines = file.with_suffix(".jsonl")
    given = {"input": rows[7].tolist(), "label": 1, "context": "ann"}
    query = {"query_id": client.predict(churn, rows[0]).query_id, "reward": 1}
    printed = [json.dumps(given), "", "{", "[1]", json.dumps(query), '{"label": 1}']
    lines.write_text("\n".join(printed))
    printed = terminal.json("feedback", churn, "-f", lines, code=1)
    assert printed["accepted"] == 2
    assert [each["line"] for each in printed["rejected"]] == [3, 4, 6]


def test_inputs_with_names_go_by_their_names(
    terminal: Terminal, client: Client, file: Path
) -> None:
    frame = pd.DataFrame({"age": [31.0, 50.0, 20.0, 70.0], "members": [1.0, 2.0, 3.0, 4.0]})
    model = make_pipeline(LogisticRegression()).fit(frame, ["no", "yes", "no", "yes"])
    client.deploy("named", model, example=frame[:1], app="named", slo_ms=1_000)
    write(file, [["members", "label", "age"], [1, "no", 31], [2, "yes", 50]])
    printed = terminal.types("feedback", "named", "-f", file)
    assert printed == "2 accepted, 0 known already, 0 rejected\n"
    client.scale("named", 0)  # others want its slot


@pytest.mark.parametrize(
    ("head", "options", "wrong"),
    [
        ("query_id,answer", (), "expected the columns query_id and label or reward"),
        ("", (), "got nothing"),
        ("query_id,label", ("--context", "ann"), "expected no query id"),
    ],
)
def test_a_file_without_feedback_is_refused(
    terminal: Terminal, file: Path, head: str, options: tuple[str, ...], wrong: str
) -> None:
    file.write_text(head)
    terminal.types("feedback", "churn", "-f", file, *options, code=1)
    assert wrong in terminal.complaint
