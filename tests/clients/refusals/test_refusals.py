"""Refusals have the words of the table, and the version in service never notices."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clipper_client import Client, ClipperError
from tests.clients.refusals.artifacts import linear, of_columns, skops_of
from tests.clients.refusals.cases import (
    COLUMNS,
    FRAGILE,
    NUMBERS,
    OTHERS,
    Refusal,
    When,
    rows_of_page,
)
from tests.clients.refusals.of_environments import OF_ENVIRONMENTS
from tests.clients.refusals.stream import Stream
from tests.clients.refusals.table import TABLE
from tests.integration.stack import eventually
from tests.long import is_long_run

# One of each kind of those that take a process of the model; the others are long.
ONE_OF_EACH = {
    "check pickle without the permission",
    "check a model of another width than the live one",
    "check a model of other columns than the live one",
    "check an exception at load",
    "check a crash at load",
    "check more memory than its limit, at load",
    "check an exception at the first batch",
    "check NaN as an answer",
    "live an exception",
    "live a crash",
}
CITIES = ("Rome", "Oslo", "Bonn")


def _name(case: Refusal) -> str:
    return f"{case.when} {case.title}"


def _is_long(case: Refusal) -> bool:
    return case.when is not When.UPLOAD and _name(case) not in ONE_OF_EACH


EACH = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=_name(case), marks=[pytest.mark.long] if _is_long(case) else [])
        for case in TABLE
        if case not in OF_ENVIRONMENTS
    ],
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The error that the client raised, and the errors that the server keeps of the version."""

    raised: ClipperError
    errors: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The outcome of each case, and the streams of queries that ran beside them."""

    outcomes: Mapping[str, Outcome]
    streams: Mapping[str, Stream]


@pytest.fixture(scope="module")
def tried(
    client: Client, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Found:
    long = is_long_run(pytestconfig)
    cases = [case for case in TABLE if _is_long(case) is long and case not in OF_ENVIRONMENTS]
    folder = tmp_path_factory.mktemp("refusals")
    streams = dict(_steady(client, folder=folder))
    # One after the other: one of them has scikit-learn say that it is another release.
    made = {_name(case): case.artifact(_place(folder, case)) for case in cases}
    outcomes: dict[str, Outcome] = {}
    with ExitStack() as beside, ThreadPoolExecutor(4) as lanes:
        for stream in streams.values():
            beside.enter_context(stream)
        for found in lanes.map(
            lambda model: list(_lane(client, cases, model=model, made=made)),
            (*streams, FRAGILE),
        ):
            outcomes.update(found)
    for model in (*streams, FRAGILE):
        client.request("DELETE", f"applications/{model}")
        client.request("DELETE", f"models/{model}")
    return Found(outcomes=outcomes, streams=streams)


def _steady(client: Client, *, folder: Path) -> Iterator[tuple[str, Stream]]:
    numbers, columns = linear(3), of_columns("city", "job")
    for model in (NUMBERS, OTHERS):
        artifact = skops_of(folder, numbers)
        client.deploy(model, artifact, input_type="doubles", app=model, slo_ms=5_000)
        yield (
            model,
            Stream(
                client,
                app=model,
                arm=f"{model}:1",
                row=lambda number: [number * 1e-3, 1.0, -1.0],
                is_right=lambda row, output: abs(output - numbers.predict([row])[0]) < 1e-9,
            ),
        )
    artifact = skops_of(folder, columns)
    client.deploy(COLUMNS, artifact, input_type="columns", app=COLUMNS, slo_ms=5_000)
    yield (
        COLUMNS,
        Stream(
            client,
            app=COLUMNS,
            arm=f"{COLUMNS}:1",
            row=lambda number: {"city": CITIES[number % 3], "job": f"{number}"},
            is_right=lambda row, output: output in (0, 1),
        ),
    )


def _place(folder: Path, case: Refusal) -> Path:
    place = folder / _name(case).replace(" ", "-")
    place.mkdir()
    return place


def _lane(
    client: Client, cases: Sequence[Refusal], *, model: str, made: Mapping[str, Any]
) -> Iterator[tuple[str, Outcome]]:
    """try the cases of one model, one after the other: it has one release at a time."""
    for case in cases:
        if case.model == model:
            yield _name(case), _outcome(client, case, artifact=made[_name(case)])


def _outcome(client: Client, case: Refusal, *, artifact: Any) -> Outcome:
    kind = "columns" if case.model == COLUMNS else "doubles"
    live: dict[str, Any] = {"app": FRAGILE, "slo_ms": 2_000} if case.when is When.LIVE else {}
    try:
        release = client.deploy(case.model, artifact, input_type=kind, **live, **case.sent)
        version = release.version
        client.predict(FRAGILE, case.asked)
    except ClipperError as error:
        if case.when is When.UPLOAD:
            return Outcome(raised=error)
        if case.when is When.CHECK:
            version = str(error.details["version"])
        path = f"models/{case.model}/versions/{version}/errors"
        if case.code == "model_failed":
            eventually(lambda: client.request("GET", path), seconds=90, what="its error is kept")
        return Outcome(raised=error, errors=client.request("GET", path))
    raise AssertionError(f"{case.title}: not refused")


@EACH
def test_it_is_refused_when_and_with_what_the_table_says(case: Refusal, tried: Found) -> None:
    raised = tried.outcomes[_name(case)].raised
    reason, _, where = raised.message.partition("\n\n")
    if case.when is When.CHECK:
        arm = f"{case.model}:{raised.details['version']}"
        assert reason.startswith(f"{arm} didn't go live: ")
        reason = reason.partition(": ")[2]
        assert raised.details["state"] == "failed"
        assert raised.details["error"] == raised.message.partition(": ")[2]
    assert case.says(reason), reason
    assert raised.code == case.code
    if case.traceback and case.when is When.CHECK:
        assert case.traceback in where


@EACH
def test_its_version_keeps_what_happened_and_where(case: Refusal, tried: Found) -> None:
    errors = tried.outcomes[_name(case)].errors
    found = [one for one in errors if case.traceback in one["traceback"]]
    if case.when is When.UPLOAD or case.code in ("invalid_input", "deadline_exceeded"):
        assert errors == []
    elif "than the live one" in case.title:
        assert errors == []  # nothing is wrong with it but what it would replace
    else:
        assert [one["phase"] for one in found] == ["check" if case.when is When.CHECK else "serve"]
        assert found[0]["count"] >= 1
        assert bool(found[0]["traceback"]) is bool(case.traceback)


@pytest.mark.parametrize("cases", ["one of each", pytest.param("others", marks=pytest.mark.long)])
@pytest.mark.parametrize("model", [NUMBERS, COLUMNS, OTHERS])
def test_the_version_in_service_never_noticed(model: str, cases: str, tried: Found) -> None:
    stream = tried.streams[model]
    assert stream.odd == []
    assert stream.asked > 10


def test_each_row_of_the_page_is_tried_out() -> None:
    names = {_name(case) for case in TABLE}
    assert len(names) == len(TABLE) > 50
    assert names == {f"{when} {title}" for when, title in rows_of_page()}
    assert names > ONE_OF_EACH
