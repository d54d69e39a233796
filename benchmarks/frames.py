"""An experiment's result: a flat table with a row for everything that was seen."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from benchmarks.generator import Recording

Record = dict[str, Any]
Records = list[Record]
Frame: TypeAlias = pd.DataFrame
P99, P999 = 0.99, 0.999


def of(frame: Frame, **fields: Any) -> Frame:
    """Return the rows that have these values, without the columns that none of them has."""
    for name, value in fields.items():
        frame = frame[frame[name] == value]
    return frame.dropna(axis="columns", how="all").infer_objects()


def mid(frame: Frame, what: str, **fields: Any) -> float:
    """The median of a column in the rows that have these values; NaN where there is none."""
    found = of(frame, **fields)
    return float(found[what].median()) if what in found else float("nan")


def percentile(values: Sequence[float], q: float) -> float:
    """The smallest value that a share `q` of all values does not exceed; NaN where there is none.
    No interpolation: the answer is a latency that somebody has seen.
    """
    return float(np.quantile(values, q, method="inverted_cdf")) if len(values) else float("nan")


def pivot(frame: Frame, *, rows: str, columns: str, values: str, q: float = 0.5) -> Frame:
    """A column for each series, in the order in which they and their rows come. Where several
    values meet it is what a share `q` of them does not exceed.
    """
    groups = frame.groupby([rows, columns], sort=False)[values]
    found = groups.agg(lambda seen: percentile(seen, q)).unstack()
    return found.reindex(index=frame[rows].unique(), columns=frame[columns].unique())


def queries_of(recording: Recording, *, warm_up: float = 0.0) -> Frame:
    """Return the queries of an open loop that were due after the warm-up, in columns of `QUERY`."""
    frame = Frame(recording.queries)
    return frame[frame["due"] >= warm_up]


def tail_of(queries: Frame) -> Record:
    """Latencies in ms, counted from when a query was due. `late_ms` is what the generator itself
    took of them: the P99.9 of the time from due to sent.
    """
    took = 1e3 * queries["took"]
    return {
        "p50_ms": percentile(took, 0.5),
        "p99_ms": percentile(took, P99),
        "p999_ms": percentile(took, P999),
        "max_ms": float(took.max()),
        "errors": int((queries["status"] != 200).sum()),
        "default_count": int(queries["default"].sum()),
        "late_ms": 1e3 * percentile(queries["late"], P999),
    }
