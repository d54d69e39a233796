"""The command `clipper score`: what it reads and writes, and how it goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from tests.clients.terminal import Terminal

Rows = NDArray[np.float64]


@pytest.mark.usefixtures("known", "churn")
def test_it_scores_files_of_each_format(
    terminal: Terminal, rows: Rows, linear: LogisticRegression, tmp_path: Path
) -> None:
    expected = "".join(f"{label}\n" for label in linear.predict(rows[:5]))
    head = ",".join(f"c{n}" for n in range(30))
    np.savetxt(tmp_path / "a.csv", rows[:5], delimiter=",", header=head, comments="")
    np.save(tmp_path / "a.npy", rows[:5])
    lines = "".join(f"{json.dumps(row)}\n" for row in rows[:5].tolist())
    (tmp_path / "a.jsonl").write_text(lines)
    for name in ("a.csv", "a.npy", "a.jsonl"):
        assert terminal.types("score", "churn", tmp_path / name) == expected
    terminal.types("score", "churn", tmp_path / "a.csv", "-o", tmp_path / "out")
    assert (tmp_path / "out").read_text() == expected
    (tmp_path / "short.csv").write_text(f"{head}\n1,2\n")
    terminal.types("score", "churn", tmp_path / "short.csv", code=1)
    assert "line 2: expected 30 cells, got 2" in terminal.complaint
    terminal.types("score", "churn", tmp_path / "a.xls", code=1)
    terminal.types("score", "churn", tmp_path / "none.csv", code=1)


@pytest.mark.usefixtures("known", "churn")
def test_it_ends_at_a_row_that_fails_and_goes_on_once_that_is_mended(
    terminal: Terminal, rows: Rows, linear: LogisticRegression, tmp_path: Path
) -> None:
    expected = [str(label) for label in linear.predict(rows[:600])]
    table, output = tmp_path / "rows.jsonl", tmp_path / "outputs.jsonl"
    lines = [json.dumps(row) for row in rows[:600].tolist()]
    table.write_text("\n".join([*lines[:400], "[1]", *lines[401:]]))
    terminal.types("score", "churn", table, "-o", output, code=1)
    assert "row 401 failed: input: expected 30 numbers, got 1" in terminal.complaint
    assert output.read_text().splitlines() == expected[:400]
    with output.open("a") as written:
        written.write('{"err')  # as if it had been killed at that
    table.write_text("\n".join(lines))
    told = terminal.types("score", "churn", table, "-o", output, "--resume")
    assert told == f"{output} has 600 outputs\n"
    assert output.read_text().splitlines() == expected
    terminal.types("score", "churn", table, "-o", output, "--resume")
    assert len(output.read_text().splitlines()) == 600


@pytest.mark.usefixtures("known", "churn")
def test_a_row_that_fails_can_be_an_output(terminal: Terminal, rows: Rows, tmp_path: Path) -> None:
    table, output = tmp_path / "rows.jsonl", tmp_path / "outputs.jsonl"
    table.write_text(f"[1]\n{json.dumps(rows[0].tolist())}\n")
    told = terminal.types("score", "churn", table, "-o", output, "--keep-errors")
    assert told == f"{output} has 2 outputs, 1 of them errors\n"
    failed = json.loads(output.read_text().splitlines()[0])
    assert failed == {"error": "input: expected 30 numbers, got 1", "code": "invalid_input"}


@pytest.mark.usefixtures("known")
def test_who_is_refused_at_once_loses_no_file(terminal: Terminal, tmp_path: Path) -> None:
    table, output = tmp_path / "rows.jsonl", tmp_path / "outputs.jsonl"
    table.write_text("[1]\n")
    output.write_text("7\n")
    terminal.types("score", "nobody", table, "-o", output, code=1)
    assert output.read_text() == "7\n"
    terminal.types("score", "churn", table, "--resume", code=1)
    assert "expected --output FILE" in terminal.complaint
