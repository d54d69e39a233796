"""What an application's latency objective leaves for getting its queries answered."""

from __future__ import annotations

# Kept back for combining, signing and sending; never more than a fifth of the objective.
MARGIN_MS = 2.0


def seconds_to_answer(objective_ms: float) -> float:
    """Return how long after its arrival a query has to be combined at the latest."""
    return (objective_ms - min(MARGIN_MS, objective_ms / 5.0)) / 1e3
