"""Outputs for any number of rows: in order, a few requests at a time, flat in memory."""

import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing
from time import monotonic
from typing import Any, Unpack

import msgspec

from clipper_client.answers import decoded
from clipper_client.clipper_error import ClipperError
from clipper_client.inputs import bodies_of, pieces_of
from clipper_client.options import Errors, ScoreOptions, application_path, given
from clipper_client.transport.remote_server import Server

# The first request is small; the next ones grow until each takes about this long. A model of 10 ms
# a row then gets 100 rows at a time, a linear one the most that a request may have.
PIECE_S = 1.0
FIRST_ROWS, MOST_ROWS = 256, 5_000
# One is encoded and one decoded here while the server is busy with a third.
AT_ONCE = 3
# The server works at a request for a minute at most.
SERVER_S = 60.0


class FailedRow(msgspec.Struct, frozen=True):
    index: int
    error: str
    code: str


class _Part(msgspec.Struct, frozen=True):
    outputs: list[Any]
    failed: list[FailedRow] = []


_part = msgspec.json.Decoder(_Part)


class Scoring:
    """One call of `score` or `score_each`: the requests it makes, and their outputs."""

    def __init__(
        self,
        server: Server,
        app: str,
        rows: Any,
        *,
        progress: bool = False,
        errors: Errors = "raise",
        **options: Unpack[ScoreOptions],
    ) -> None:
        if errors not in ("raise", "keep"):
            raise ValueError(f"errors: expected raise or keep, got {errors!r}.")
        self._server = server
        self._path = application_path(app, "score")
        self._rows = rows
        self._options = given(options)
        self._errors = errors
        self._piece_rows = FIRST_ROWS
        self._done = 0
        self._failed: list[int] = []
        self._first_error: ClipperError | None = None
        self._bar = Bar(total=len(rows) if hasattr(rows, "__len__") else None, shown=progress)

    async def parts(self) -> AsyncGenerator[list[Any]]:
        """Yield the outputs of each request. Raises if no row so far had one."""
        operations = (self._scored(piece) for piece in self._pieces())
        with closing(self._bar):
            async with aclosing(self._server.in_order(operations, at_once=AT_ONCE)) as parts:
                async for answered in parts:
                    outputs = [output for part in answered for output in self._outputs_of(part)]
                    self._bar.show(self._done)
                    if len(self._failed) == self._done > 0:
                        self.check()
                    yield outputs

    def check(self) -> None:
        """Raise if rows have failed, unless they are to be kept."""
        if self._first_error is None:
            return
        error, first = self._first_error, self._failed[0]
        raise ClipperError(
            f"{len(self._failed)} of {self._done} rows failed, row {first} first: {error.message}",
            code="rows_failed",
            details={"rows": self._failed, "first": {"code": error.code}},
        )

    def _outputs_of(self, part: _Part) -> list[Any]:
        start, outputs = self._done, part.outputs
        for row in part.failed:
            at = start + row.index
            outputs[row.index] = self._failure(at, row)
        self._done += len(outputs)
        return outputs

    def _failure(self, at: int, row: FailedRow) -> ClipperError:
        error = ClipperError(row.error, code=row.code, details={"row": at})
        if self._errors == "raise":
            self._failed.append(at)
            self._first_error = self._first_error or error
        return error

    def _pieces(self) -> Iterator[list[Any]]:
        """Yield the rows in pieces, of the size that is right by then; large rows aren't held."""
        held: list[Any] = []
        for small in pieces_of(self._rows, size=FIRST_ROWS):
            held += small
            large = len(small) < FIRST_ROWS  # or the last
            while len(held) >= self._piece_rows or (large and held):
                size = self._piece_rows
                yield held[:size]
                held = held[size:]
        if held:
            yield held

    async def _scored(self, piece: list[Any]) -> list[_Part]:
        began = monotonic()
        parts = [await self._answered(body) for body in bodies_of(piece, options=self._options)]
        self._adapt(len(piece), seconds=monotonic() - began)
        return parts

    async def _answered(self, body: bytes) -> _Part:
        response = await self._server.ask("POST", self._path, body=body, extra_time_s=SERVER_S)
        return decoded(_part, response.content)

    def _adapt(self, rows: int, *, seconds: float) -> None:
        """Grow to twice the size at most: the first request may have found everything cold."""
        fitting = int(rows * PIECE_S / max(seconds, 1e-3))
        self._piece_rows = max(1, min(MOST_ROWS, fitting, 2 * max(rows, self._piece_rows)))


class Bar:
    """Draws the number of rows done, of `total` if that is known, if it is `shown`."""

    def __init__(self, *, total: int | None, shown: bool) -> None:
        self._of = "" if total is None else f" of {total:,}"
        self._shown = shown
        self._began = monotonic()

    def show(self, done: int) -> None:
        if self._shown:
            rate = done / max(monotonic() - self._began, 1e-3)
            text = f"\r{done:,}{self._of} rows, {rate:,.0f}/s "
            print(text, end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._shown:
            print(file=sys.stderr)
