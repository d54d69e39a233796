"""Queries without a pause to a version that must not notice what happens beside it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

from clipper_client import Answer, Client, ClipperError

# Between two queries: enough of them, and the machine has time for the rest.
PAUSE_S = 0.1


class Stream:
    """Asks as long as the block lasts, never the same twice; keeps what wasn't as it should be.

    `row` makes the input of a number. All are to be answered by `arm`, and rightly.
    """

    def __init__(
        self,
        client: Client,
        *,
        app: str,
        arm: str,
        row: Callable[[int], Any],
        is_right: Callable[[Any, Any], bool],
    ) -> None:
        self.asked = 0
        self.odd: list[str] = []
        self._client, self._app, self._arm = client, app, arm
        self._row, self._is_right = row, is_right
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream")

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        for number in itertools.count():
            if self._over.wait(PAUSE_S):
                return
            row = self._row(number)
            try:
                answer = self._client.predict(self._app, row)
            except ClipperError as error:
                self.odd.append(f"{error.code}: {error}")
            else:
                if fault := self._fault(answer, row=row):
                    self.odd.append(fault)
            self.asked += 1

    def _fault(self, answer: Answer, *, row: Any) -> str:
        if answer.default:
            return f"default: {answer.default_explanation}"
        if list(answer.models) != [self._arm]:
            return f"answered by {list(answer.models)}"
        return "" if self._is_right(row, answer.output) else f"{answer.output} to {row}"
