"""Histograms: what is observed together is counted as if it had come one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.stats import LATENCY_BOUNDS, latency_histogram

# Bounds themselves, and what lies before, between and behind them.
SECONDS = st.sampled_from(LATENCY_BOUNDS) | st.floats(-1.0, 100.0)


@given(st.lists(SECONDS, max_size=30))
def test_many_at_once_are_counted_as_one_by_one(values: list[float]) -> None:
    together, alone = latency_histogram(), latency_histogram()
    together.observe_all(values)
    for value in values:
        alone.observe(value)
    assert together.counts == alone.counts
    assert together.total == pytest.approx(alone.total)
