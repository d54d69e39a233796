"""The paper's own numbers, as `published.toml` has them with where each is from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

SLO_SECONDS = 0.020


class Strategy(NamedTuple):
    """Queries a second, and the P99 latency of a batch in ms."""

    rate: float
    p99_ms: float


class Waited(NamedTuple):
    """One point of Fig. 5: throughput in queries/s, mean batch, latency end to end in ms."""

    wait_ms: float
    rate: float
    batch: float
    mean_ms: float
    p99_ms: float


class Stragglers(NamedTuple):
    """One ensemble size of Fig. 9: P99 in ms by mitigation, share in time, accuracy with it."""

    size: int
    mitigated_p99_ms: float
    blocking_p99_ms: float
    in_time: float
    accuracy: float


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    fig3_rate: dict[str, float]
    fig3_spread: int
    fig4: dict[str, dict[str, Strategy]]
    fig4_gain: int
    fig5_sklearn: list[Waited]
    fig5_spark_rates: list[tuple[float, float]]
    fig5_gain: float
    fig6_rates: list[float]
    fig7_reduction: float
    fig9: list[Stragglers]
    fig10_global: float
    fig10_reported: float
    fig10_learned: list[float]
    feedback_rates: tuple[float, float]


PAPER = msgspec.toml.decode(Path(__file__).with_suffix(".toml").read_bytes(), type=Published)
