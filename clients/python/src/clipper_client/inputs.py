"""Inputs as JSON has them, and the input type of a model by an example.

NumPy, pandas and polars are recognised by what their objects can do: none of them is imported.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from itertools import islice
from typing import Any, cast

import msgspec

from clipper_client.clipper_error import ClipperError

# The server takes 16 MB in one request by default; a list of inputs has no more either.
BODY_BYTES = 8 << 20


def encoded(value: Any) -> bytes:
    """Return an input as JSON: NaN and NaT as null, bytes as base64, times as ISO 8601."""
    try:
        return _encoder.encode(plain(value))
    except UnicodeEncodeError as error:
        raise ClipperError(
            f"Expected text that UTF-8 can hold, got {error.object[error.start]!r} at character "
            f"{error.start}.",
            code="invalid_input",
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


def rows_of(rows: Any) -> Iterator[Any]:
    """Return the inputs in many: rows of a frame are dicts, of an array lists."""
    for piece in pieces_of(rows, size=1024):
        yield from piece


def pieces_of(rows: Any, *, size: int) -> Iterator[list[Any]]:
    """Yield the inputs in lists of at most `size`, large inputs in shorter ones."""
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
    """Return the size of a text, bytes or an array; 0 for anything else."""
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


def input_type_of(example: Any, *, model: Any = None) -> str:
    """Return the input type by an example, else by what the model was fitted on."""
    if example is None and getattr(model, "tokenizer", None) is not None:
        return "strings"
    if example is None:
        return "columns" if hasattr(model, "feature_names_in_") else "doubles"
    if is_frame(example) or is_series(example):
        return "columns"
    if is_array(example):
        return _of_array(example)
    first = first_of(example)
    if is_series(first) or isinstance(first, Mapping):
        return "columns"
    if isinstance(first, str):
        return "strings"
    if isinstance(first, bytes | bytearray):
        return "bytes"
    if is_array(first):
        return _of_array(first, deepest=1)
    return _of_list(first)


def first_of(example: Any) -> Any:
    """Return one input out of an example, which may be one input or several."""
    if isinstance(example, str | bytes | bytearray | Mapping) or is_series(example):
        return plain(example)
    if is_frame(example):
        return next(rows_of(example), None)
    if is_array(example):
        return example[0] if len(example.shape) > 1 or _kind(example) not in "biuf" else example
    first = next(islice(example, 1), None) if hasattr(example, "__iter__") else example
    return example if _is_number(first) else first


def _of_array(array: Any, *, deepest: int = 2) -> str:
    """Return the type of an array; one of at most `deepest` dimensions is a row, or rows."""
    kind = _kind(array)
    if kind not in "biuf":
        return "strings" if kind in "UT" else "json"
    if len(array.shape) > deepest:
        return "tensor"
    return "floats" if str(array.dtype).endswith("float32") else "doubles"


def _kind(array: Any) -> str:
    return str(getattr(array.dtype, "kind", "f"))


def _of_list(row: Any) -> str:
    if not isinstance(row, list | tuple):
        return "json"
    if all(_is_number(item) for item in row):
        return "doubles"
    return "tensor" if row and all(isinstance(item, list | tuple) for item in row) else "json"


def _is_number(value: Any) -> bool:
    # NumPy's numbers are arrays of no dimension.
    return hasattr(value, "__float__") and not getattr(value, "shape", ())
