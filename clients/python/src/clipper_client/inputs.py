"""Inputs as people have them, as JSON has them: arrays, rows of frames, dicts, bytes, NaN.

NumPy, pandas and polars are recognised by what their objects can do: none of them is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, cast

import msgspec

from clipper_client.errors import INVALID_INPUT, ClipperError

# The server takes 16 MB in one request by default; a list of inputs has no more either.
BODY_BYTES = 8 << 20


def encoded(value: Any) -> bytes:
    """Return one input, or any body that holds some, as JSON. Raises TypeError for what isn't one,
    ClipperError for text that UTF-8 can't hold.

    NaN, NaT and infinity become null, bytes base64, times ISO 8601.
    """
    try:
        return _encoder.encode(plain(value))
    except UnicodeEncodeError as error:
        raise ClipperError(
            f"Expected text that UTF-8 can hold, got {error.object[error.start]!r} at character "
            f"{error.start}.",
            code=INVALID_INPUT,
        ) from error


def plain(value: Any) -> Any:
    """Return an input in Python's own types, as far as the encoder needs that."""
    if isinstance(value, str | int | float | None):
        return value
    if is_frame(value):
        if len(value) != 1:
            raise ValueError(
                f"Expected one input, got a frame of {len(value)} rows: predict_batch and score "
                "take many."
            )
        return next(rows_of(value))
    if is_series(value):
        return {str(name): item for name, item in value.items()}
    return value


def is_frame(value: Any) -> bool:
    """Return whether it is a DataFrame of pandas or polars, by what it can do."""
    return (hasattr(value, "itertuples") or _is_of_polars(value)) and hasattr(value, "columns")


def _is_of_polars(frame: Any) -> bool:
    return hasattr(frame, "iter_rows")


def is_series(value: Any) -> bool:
    """Return whether it is a Series, such as a row of a frame."""
    return hasattr(value, "iloc") and hasattr(value, "items") and not is_frame(value)


def is_array(value: Any) -> bool:
    """Return whether it is an array or a tensor."""
    return hasattr(value, "tolist") and hasattr(value, "shape") and not is_series(value)


def number_of_rows(rows: Any) -> int | None:
    """Return how many inputs there are, None where only reading them all would tell."""
    return len(rows) if hasattr(rows, "__len__") else None


def rows_of(rows: Any) -> Iterator[Any]:
    """Return the inputs in many: rows of a frame are dicts, of an array lists."""
    for piece in pieces_of(rows, size=1024):
        yield from piece


def pieces_of(rows: Any, *, size: int) -> Iterator[list[Any]]:
    """Return the inputs in lists of at most `size`, made only as they are taken.

    Large inputs come in shorter ones.
    """
    if is_frame(rows):
        for start in range(0, len(rows), size):
            yield _records(rows, start=start, stop=start + size)
    elif is_array(rows) and rows.shape:
        row_bytes = max(1, _bytes_of(rows) // max(1, len(rows)))
        size = max(1, min(size, BODY_BYTES // row_bytes))
        for start in range(0, len(rows), size):
            yield rows[start : start + size].tolist()
    elif isinstance(rows, str | bytes | Mapping):
        raise TypeError(f"Expected many inputs, got a {type(rows).__name__}, which is one.")
    elif hasattr(rows, "collect_schema"):
        raise TypeError(f"Expected rows, got a {type(rows).__name__}: call its collect() first.")
    else:
        yield from _in_lists(iter(rows), size=size)


def bodies_of(piece: list[Any], *, options: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the inputs as bodies of requests, each about as large as the server takes them."""
    body = encoded({"input_batch": piece, **options})
    if len(body) <= BODY_BYTES or len(piece) == 1:
        yield body
    else:
        half = len(piece) // 2
        yield from bodies_of(piece[:half], options=options)
        yield from bodies_of(piece[half:], options=options)


def _in_lists(rows: Iterator[Any], *, size: int) -> Iterator[list[Any]]:
    piece: list[Any] = []
    taken = 0
    for row in rows:
        piece.append(plain(row))
        taken += _bytes_of(row)
        if len(piece) == size or taken >= BODY_BYTES:
            yield piece
            piece, taken = [], 0
    if piece:
        yield piece


def _bytes_of(value: Any) -> int:
    """How large a text, bytes or an array is; 0 for anything else."""
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    return int(getattr(value, "nbytes", 0))


def _records(frame: Any, *, start: int, stop: int) -> list[Any]:
    """Column by column, which is many times as fast as row by row."""
    if _is_of_polars(frame):
        found: list[Any] = frame[start:stop].to_dicts()
        return found
    part = frame.iloc[start:stop]
    names = [str(name) for name in frame.columns]
    columns = [part.iloc[:, at].tolist() for at in range(len(names))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _as_plain(value: Any) -> Any:
    """Return a value for a type that JSON doesn't know."""
    if is_array(value) or hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):
        return str(value)  # a class derived from it
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, date):  # and what derives from it, such as a timestamp of pandas
        return value.isoformat()
    if is_frame(value) or is_series(value):
        return plain(value)
    if hasattr(value, "to_list"):  # of polars
        return value.to_list()
    if hasattr(value, "detach"):  # a tensor that is part of a computation
        return cast("Any", value).detach().tolist()
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"Expected an input that JSON can hold, got a {type(value).__name__}.")


_encoder = msgspec.json.Encoder(enc_hook=_as_plain, decimal_format="number")
