"""Protocol interface: a request from inputs, and outputs from an answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from serving.container.remote.failures import BrokenAnswer
from serving.container.remote.http_exchange import HttpAnswer
from serving.rpc.text import safe_text

# GETs a path of the server.
Get = Callable[[str], Awaitable[HttpAnswer]]


class RemoteInputs(NamedTuple):
    """Several inputs: their JSON, and the rows that were parsed of it, not stacked."""

    raws: Sequence[bytes]
    rows: Sequence[Any]

    def part(self, begin: int, end: int) -> RemoteInputs:
        return RemoteInputs(self.raws[begin:end], self.rows[begin:end])


class RemoteBody(NamedTuple):
    content: bytes
    headers: Mapping[str, str] = {}


class CannotAsk(Exception):
    """These inputs can't be put into a request; one of them is to blame."""

    is_everybodys = False
    blames_an_input = True


class Dialect(Protocol):
    """One server's protocol. `one_by_one`: each input is a request of its own."""

    path: str
    one_by_one: bool
    # How many numbers an input has, where the server has said so.
    n_features: int | None

    async def meet(self, get: Get) -> None:
        """Ask whether the model is ready, and what it takes; raises RemoteFailure if it isn't."""

    def body(self, inputs: RemoteInputs) -> RemoteBody:
        """Raises CannotAsk."""

    def outputs(self, answer: HttpAnswer, *, count: int) -> Any:
        """Return the model's outputs for `count` inputs; raises BrokenAnswer."""


def decoded_answer(answer: HttpAnswer) -> Any:
    """The JSON of an answer; NaN, which Python's servers write, is one output's fault alone."""
    try:
        return msgspec.json.decode(answer.body)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        began = safe_text(answer.body[:80].decode(errors="replace"))
        raise BrokenAnswer(f"expected JSON, the remote answered {began!r}: {error}") from None


def part_of(value: Any, path: str) -> Any:
    """Return the value at a path of keys and positions, `a.0.b`; `*` is each of an array.

    Raises BrokenAnswer, which says where it ended.
    """
    return _followed(value, path.split(".") if path else [], path=path)


def _followed(value: Any, steps: Sequence[str], *, path: str) -> Any:
    for index, step in enumerate(steps):
        if step == "*" and isinstance(value, list):
            return [_followed(inner, steps[index + 1 :], path=path) for inner in value]
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, ValueError, TypeError):
            raise BrokenAnswer(
                f"expected {path!r} in the answer, found no {step!r} in {_shape_of(value)}"
            ) from None
    return value


def _shape_of(value: Any) -> str:
    if isinstance(value, dict):
        return safe_text(f"an object with {', '.join(map(repr, list(value)[:10])) or 'nothing'}")
    return f"an array of {len(value)}" if isinstance(value, list) else type(value).__name__
