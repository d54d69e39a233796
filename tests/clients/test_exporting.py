"""Stored rows of an application come out as a frame, as dicts, and as files."""

import csv
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clipper_client import Answer, Client, ClipperError, query_of
from clipper_client.operations import exporting
from selection.receipts import ArmRecord, Receipt, ReceiptSigner
from tests.clients.sources import Rows
from tests.clients.terminal import Terminal
from tests.integration.stack import eventually


def test_a_receipt_tells_the_number_of_its_query() -> None:
    for stored in (False, True):
        receipt = Receipt(
            b"123456789012", 1, 7, "ann", (ArmRecord("svm:1", 0.5, b"1"),), stored=stored
        )
        assert query_of(ReceiptSigner(b"secret").sign(receipt)) == receipt.nonce.hex()
    assert Answer(code="invalid_input", query_id="failed-1").query == ""
    for wrong in ("", "a", "-" * 80, "ü"):
        with pytest.raises(ValueError, match="Expected the query_id of an answer"):
            query_of(wrong)


@pytest.fixture(scope="module")
def labels(client: Client, churn: str, rows: Rows) -> dict[str, int]:
    """Labels of some queries, by the queries, once they are in the database."""
    labels: dict[str, int] = {}
    for number, row in enumerate(rows[:5]):
        answer = client.predict(churn, row, context='it\'s "ann", again')
        client.feedback(answer, label=number % 2)
        labels[answer.query] = number % 2
    eventually(
        lambda: labels.keys() <= {row["query"] for row in exported(client, churn)},
        seconds=90,
        what="the feedback is in the database",
    )
    return labels


def exported(client: Client, churn: str, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.export(churn, frame=False, **options)
    return found


def test_labels_come_back_by_query(
    client: Client, churn: str, labels: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    several = max(2, len(exported(client, churn)) // 3)
    monkeypatch.setattr(exporting, "PAGE_ROWS", several)
    frame = client.export(churn, since=timedelta(hours=1))
    assert str(frame.received_at.dt.tz) == "UTC"
    by_query = frame.set_index("query").label
    assert {query: by_query[query] for query in labels} == labels
    assert client.export(churn, until=datetime(2020, 1, 1)).empty
    assert client.export(churn, until=datetime(2020, 1, 1)).columns.tolist() == [*frame.columns]
    both = client.export(churn, kinds=("feedback", "decisions"))
    assert set(both.kind) == {"feedback", "decisions"}
    assert exported(client, churn, versions="none:1") == []
    with pytest.raises(ClipperError, match="keeps no inputs"):
        client.export(churn, kinds="predictions")


@pytest.mark.usefixtures("known")
def test_the_command_writes_files(
    terminal: Terminal, client: Client, churn: str, labels: dict[str, int], tmp_path: Path
) -> None:
    stored = exported(client, churn)
    table, lines = tmp_path / "churn.csv", tmp_path / "churn.jsonl"
    terminal.types("export", "data", churn, "-o", table)
    with table.open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file, strict=True))
    assert [row["query"] for row in read] == [row["query"] for row in stored]
    assert read[-1]["context"] == 'it\'s "ann", again'
    terminal.types("export", "data", churn, "-o", lines, "--since", "1d")
    assert [json.loads(line) for line in lines.read_text().splitlines()] == stored
    assert terminal.json("export", "data", churn, "--since", "1d") == stored
    terminal.types("export", "data", churn, "-o", tmp_path / "churn.parquet", code=1)
    assert not (tmp_path / "churn.parquet").exists()
    terminal.types("export", "--since", "1d", code=1)
    assert "clipper export data APP" in terminal.complaint
    terminal.types("export", "data", code=1)
    assert terminal.complaint.startswith("clipper: Expected `clipper export data APP`")
    assert "applications:" in terminal.types("export", "--no-keys")
