"""Outputs for any number of rows: in order, a few requests at a time, flat in memory."""

import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from time import monotonic
from typing import Any, Unpack

import msgspec

from clipper_client.answers import Rejection, decoded
from clipper_client.clipper_error import ClipperError
from clipper_client.inputs import bodies_of, pieces_of
from clipper_client.options import Errors, ScoreOptions, application_path, given
from clipper_client.transport.remote_server import Server

FIRST_ROWS = 256


class _Part(msgspec.Struct, frozen=True):
    outputs: list[Any]
    failed: list[Rejection] = []


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
        self._progress = progress
        self._began = monotonic()

    async def parts(self) -> AsyncGenerator[list[Any]]:
        """Yield the outputs of each request. Raises if no row so far had one."""
        operations = (self._scored(piece) for piece in self._pieces())
        # One is encoded and one decoded here while the server is busy with a third.
        async with aclosing(self._server.in_order(operations, at_once=3)) as parts:
            try:
                async for answered in parts:
                    outputs = [output for part in answered for output in self._outputs_of(part)]
                    self._show_progress()
                    if len(self._failed) == self._done > 0:
                        self.check()
                    yield outputs
            finally:
                if self._progress:
                    print(file=sys.stderr)

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
            error = ClipperError(row.error, code=row.code, details={"row": at})
            outputs[row.index] = error
            if self._errors == "raise":
                self._failed.append(at)
                self._first_error = self._first_error or error
        self._done += len(outputs)
        return outputs

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
        """Score a piece, and aim at pieces of a second: 100 rows of a model that takes 10 ms."""
        began, parts = monotonic(), []
        for body in bodies_of(piece, options=self._options):
            # The server works at a request for a minute at most.
            response = await self._server.ask("POST", self._path, body=body, extra_time_s=60.0)
            parts.append(decoded(_part, response.content))
        fitting = int(len(piece) / max(monotonic() - began, 1e-3))
        # The first request may have found everything cold: the next is twice as large at most.
        self._piece_rows = max(1, min(5_000, fitting, 2 * max(len(piece), self._piece_rows)))
        return parts

    def _show_progress(self) -> None:
        if self._progress:
            total = f" of {len(self._rows):,}" if hasattr(self._rows, "__len__") else ""
            rate = self._done / max(monotonic() - self._began, 1e-3)
            text = f"\r{self._done:,}{total} rows, {rate:,.0f}/s "
            print(text, end="", file=sys.stderr, flush=True)
