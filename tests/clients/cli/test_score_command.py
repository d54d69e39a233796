"""The command `clipper score`: what it reads and writes, and how it goes on."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from clipper_client.cli.tables import rows_in
from clipper_site import ROOT
from tests.clients.busy_server import Planned, serving
from tests.clients.sources import Rows
from tests.clients.terminal import Terminal

WITHIN_S = 30.0


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
    terminal.types("score", "churn", table, "-o", output, "--resume")
    assert output.read_text().splitlines() == expected
    terminal.types("score", "churn", table, "-o", output, "--resume")
    assert len(output.read_text().splitlines()) == 600
    table.write_text("[1]")  # not the file that was begun with
    terminal.types("score", "churn", table, "-o", output, "--resume", code=1)


@pytest.mark.usefixtures("known", "churn")
def test_a_row_that_fails_can_be_an_output(terminal: Terminal, rows: Rows, tmp_path: Path) -> None:
    table, output = tmp_path / "rows.jsonl", tmp_path / "outputs.jsonl"
    table.write_text(f"[1]\n{json.dumps(rows[0].tolist())}\n")
    terminal.types("score", "churn", table, "-o", output, "--keep-errors")
    failed = json.loads(output.read_text().splitlines()[0])
    assert failed["code"] == "invalid_input"


@pytest.mark.usefixtures("known")
def test_who_is_refused_at_once_loses_no_file(terminal: Terminal, tmp_path: Path) -> None:
    table, output = tmp_path / "rows.jsonl", tmp_path / "outputs.jsonl"
    table.write_text("[1]\n")
    output.write_text("7\n")
    terminal.types("score", "nobody", table, "-o", output, code=1)
    assert output.read_text() == "7\n"
    terminal.types("score", "churn", table, "--resume", code=1)


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file with one row, to which a server answers 1."""
    table = tmp_path / "one.jsonl"
    table.write_text("[1]\n")
    with serving(Planned(body=b'{"outputs": [1]}')) as server:
        monkeypatch.setenv("CLIPPER_URL", server.url)
        yield table


def test_the_file_that_is_read_is_not_written_to(terminal: Terminal, one: Path) -> None:
    terminal.types("score", "churn", one, "-o", one, code=1)
    assert one.read_text() == "[1]\n"


def test_requests_under_way_are_answered_before_it_ends(
    terminal: Terminal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One that connects while the client closes would leave its socket open."""
    table = tmp_path / "rows.jsonl"
    table.write_text("[1]\n" * 600)
    failed = (
        b'{"outputs": [null], "failed": [{"index": 0, "error": "no", "code": "invalid_input"}]}'
    )
    with serving(Planned(body=failed), Planned(body=failed, after_s=0.5)) as server:
        monkeypatch.setenv("CLIPPER_URL", server.url)
        with caplog.at_level("INFO", logger="httpx"):
            terminal.types("score", "churn", table, "-o", tmp_path / "outputs.jsonl", code=1)
        assert len(server.seen) > 1
        assert caplog.text.count("200 OK") == len(server.seen)


def test_ctrl_c_waits_for_no_server_that_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("[1]\n" * 2_000)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(WITHIN_S)
        table = str(tmp_path / "rows.jsonl")
        command = [sys.executable, "-m", "clipper_client", "score", "a", table]
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen(
            [*command, "--url", address, "--timeout", str(10 * WITHIN_S)],
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT / "clients/python/src")},
        ) as scoring:
            try:
                asked, _ = silent.accept()
                scoring.send_signal(signal.SIGINT)
                assert scoring.wait(WITHIN_S) == 130
                assert scoring.stderr is not None
                assert scoring.stderr.read() == b""
                asked.close()
            finally:
                scoring.kill()


def test_a_table_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    table = tmp_path / "excel.csv"
    table.write_text("age,city\n31,Rome\n", encoding="utf-8-sig")
    rows = rows_in(str(table), format="csv", columns=True, skip=0)
    assert list(rows) == [{"age": 31, "city": "Rome"}]


def test_outputs_may_go_to_what_is_no_file(terminal: Terminal, one: Path) -> None:
    assert terminal.types("score", "churn", one, "-o", "/dev/null") == ""
