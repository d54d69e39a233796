"""The live page's processes: those that answer queries, and those of the console."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from console.live.model_load import Document
from console.templatetags.console import ago
from console.words import formats

PREDICT, CONSOLE = "predict", "console"


def process_rows(
    predicting: Iterable[Document], consoles: Iterable[Document]
) -> list[dict[str, Any]]:
    """Return a row for each process that has published lately, the oldest of each kind first."""
    return [
        _row(document, kind=kind)
        for kind, documents in ((PREDICT, predicting), (CONSOLE, consoles))
        for document in sorted(documents, key=lambda document: document.get("since", 0.0))
    ]


def _row(document: Document, *, kind: str) -> dict[str, Any]:
    pid, host = document.get("pid"), document.get("host")
    where = f" on {host}" if host else ""
    code = ", compiled" if document.get("compiled") else ""
    if why := document.get("uncompiled"):
        code = f", as Python: what is compiled {why}"
    return {
        "id": document["id"],
        "text": {
            "kind": kind,
            "what": f"process {pid}{where}{code}" if pid else formats.NOTHING,
            "memory": formats.mebibytes(document.get("rss_bytes", 0)),
            "since": _since(document.get("since")),
        },
    }


def _since(at: float | None) -> str:
    return "" if at is None else f"started {ago(datetime.fromtimestamp(at, tz=UTC))}"
