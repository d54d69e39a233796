"""Stored rows out of Clipper: feedback, decisions, joined queries, the sample of predictions."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlencode

import msgspec

from clipper_client.inputs import encoded
from clipper_client.options import Moment, application_path, given
from clipper_client.transport.remote_server import Server

PAGE_ROWS = 5000
KINDS = ("feedback", "decisions", "joined", "predictions")
JSON, JSON_LINES, CSV = "application/json", "application/x-ndjson", "text/csv"
TIMES = ("asked_at", "received_at")
# Columns that hold any JSON: Parquet, whose columns have one type, has it as text.
JSON_COLUMNS = ("input", "output", "outputs", "propensities", "label", "metrics")


def first_page(
    name: str,
    *,
    kind: str,
    since: Moment = None,
    until: Moment = None,
    versions: str | Iterable[str] = (),
) -> str:
    if isinstance(versions, str):
        versions = (versions,)
    said = given({"kind": kind, "since": text_of(since), "until": text_of(until)})
    chosen = [("version", version) for version in versions]
    query = urlencode([*said.items(), *chosen, ("limit", str(PAGE_ROWS))])
    return f"{application_path(name, 'export')}?{query}"


async def page(server: Server, path: str, *, accept: str) -> tuple[bytes, str | None]:
    """Return a page as the server wrote it, and the path of the next one."""
    response = await server.ask("GET", path, headers={"accept": accept})
    link = response.headers.get("link")
    return response.content, link and link[link.index("<") + 1 : link.index(">")]


async def export(
    server: Server,
    name: str,
    *,
    kinds: str | Iterable[str],
    frame: bool,
    as_text: bool = False,
    **span: Any,
) -> Any:
    """Return rows of all pages; `as_text` has JSON as text where its type may differ by row."""
    wanted = [kinds] if isinstance(kinds, str) else list(kinds)
    columns = dict.fromkeys(["kind"] if len(wanted) > 1 else [])
    rows: list[dict[str, Any]] = []
    for kind in wanted:
        path: str | None = first_page(name, kind=kind, **span)
        beginning = {"kind": kind} if len(wanted) > 1 else {}
        while path is not None:
            body, path = await page(server, path, accept=JSON)
            found = msgspec.json.decode(body)
            columns |= dict.fromkeys(found["columns"])
            rows += [beginning | row for row in found["rows"]]
    if not frame:
        return rows
    for row in rows if as_text else ():
        json = {each: row[each] for each in JSON_COLUMNS if row.get(each) is not None}
        row |= {each: encoded(value).decode() for each, value in json.items()}
    return await server.work(lambda: _frame_of(rows, columns=list(columns)))


async def write_parquet(
    server: Server, /, name: str, *, target: str, kind: str, **span: Any
) -> None:
    """Write stored rows as a file. Raises ValueError if a package is missing."""
    if missing := [package for package in ("pandas", "pyarrow") if find_spec(package) is None]:
        names = " and ".join(missing)
        raise ValueError(f"Parquet takes {names}: `pip install {' '.join(missing)}`, or take csv.")
    rows = await export(server, name, kinds=kind, frame=True, as_text=True, **span)
    await server.work(lambda: rows.to_parquet(target, engine="pyarrow", index=False))


def _frame_of(rows: list[dict[str, Any]], *, columns: list[str]) -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "A frame takes pandas: `pip install pandas`, or frame=False for a list of dicts."
        ) from error
    found = pd.DataFrame(rows, columns=columns)
    for column in TIMES:
        if column in found:
            found[column] = pd.to_datetime(found[column], utc=True, format="ISO8601")
    return found


def text_of(moment: Moment) -> str | None:
    """Return a time as the server reads it; one without a zone is of the local zone."""
    if isinstance(moment, timedelta):
        moment = datetime.now(UTC) - moment
    elif isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    return moment.astimezone().isoformat() if isinstance(moment, datetime) else moment
