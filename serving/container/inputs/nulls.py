"""Null as a value: found by asking a model about a row with one, or declared."""

import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from msgspec.structs import replace

from serving.container.failures.container_errors import let_interrupts_through
from serving.container.inputs.examples import made_up
from serving.container.inputs.parsing import row_parser
from serving.container.inputs.rows import InvalidRow
from serving.container.inputs.signature import COLUMNS, Signature

Ask = Callable[[Any], Any]


def with_nulls(signature: Signature, *, ask: Ask, example: str, seconds: float = 1.0) -> Signature:
    """Return the signature, and of each part that leaves it open whether null is a value for it.

    Each column is left out once; those that `seconds` are too short for stay unknown.
    """
    if all(part.nullable is not None for part in signature.inputs):
        return signature
    if signature.input_type == COLUMNS:
        return _columns_with_nulls(signature, ask=ask, example=example, seconds=seconds)
    part = signature.inputs[0]
    if not part.dtype.startswith("float") or not part.shape or None in part.shape:
        return signature
    takes = _answers(ask, np.full((1, *part.shape), np.nan, dtype=part.dtype))
    return replace(signature, inputs=(replace(part, nullable=takes),))


def without_nulls(signature: Signature) -> Signature:
    """The signature, in which columns that leave it open can't be null."""
    if signature.input_type != COLUMNS:
        return signature
    return _decided(signature, takes=lambda position: False)


def _columns_with_nulls(
    signature: Signature, *, ask: Ask, example: str, seconds: float
) -> Signature:
    row = _row(signature, example=example)
    if row is None or not _answers_row(ask, row, signature=signature):
        return signature
    everything = tuple(
        None if part.nullable is None else value
        for part, value in zip(signature.inputs, row, strict=True)
    )
    if _answers_row(ask, everything, signature=signature):
        return _decided(signature, takes=lambda position: True)
    until = perf_counter() + seconds

    def takes(position: int) -> bool | None:
        if perf_counter() > until:
            return None
        without = (*row[:position], None, *row[position + 1 :])
        return _answers_row(ask, without, signature=signature)

    return _decided(signature, takes=takes)


def _decided(signature: Signature, *, takes: Callable[[int], bool | None]) -> Signature:
    parts = tuple(
        replace(part, nullable=takes(position)) if part.nullable is None else part
        for position, part in enumerate(signature.inputs)
    )
    return replace(signature, inputs=parts)


def _row(signature: Signature, *, example: str) -> tuple[Any, ...] | None:
    """Return the example, or a made-up row, as it is parsed."""
    raw = example.encode() or next(iter(made_up(signature)), b"")
    try:
        row: tuple[Any, ...] = row_parser(signature).parse(raw)
    except InvalidRow:
        return None
    return row


def _answers_row(ask: Ask, row: tuple[Any, ...], *, signature: Signature) -> bool:
    # As if every column could be null: of one that can't, an integer would be none.
    parts = tuple(replace(part, nullable=part.nullable is not False) for part in signature.inputs)
    return _answers(ask, row_parser(replace(signature, inputs=parts)).stack([row]))


def _answers(ask: Ask, rows: Any) -> bool:
    """Return whether the model has a finite answer."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            outputs = np.asarray(ask(rows))
    except BaseException as error:  # whatever it raises, it doesn't take this
        let_interrupts_through(error)
        return False
    return outputs.dtype.kind != "f" or bool(np.isfinite(outputs).all())
