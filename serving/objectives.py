"""What an application's latency objective leaves: for a query as a whole, and for one batch."""

from __future__ import annotations

# Kept back for combining, signing and sending; never more than a fifth of the objective.
MARGIN_MS = 2.0
# However short the objective, a batch of one may take this long.
SHORTEST_BATCH_MS = 1.0


def seconds_to_answer(objective_ms: float) -> float:
    """Return how long after its arrival a query has to be combined at the latest."""
    return (objective_ms - min(MARGIN_MS, objective_ms / 5.0)) / 1e3


def seconds_for_a_batch(objective_ms: float) -> float:
    """Return what a batch may take: a query may have to wait for one before its own."""
    return max(SHORTEST_BATCH_MS, (objective_ms - MARGIN_MS) / 2.0) / 1e3
