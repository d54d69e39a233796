"""Time budget of queries, by their application's latency objective."""

# Up to so many inputs at once are answered within the objective, more are a large batch.
SMALL_BATCH = 64
# The longest that a large batch may take.
LONGEST_BATCH_MS = 60_000.0
# The outputs in one answer, which a web process holds until its client has read them.
MAX_ANSWER_BYTES = 64 << 20
ANSWER_TOO_LARGE = (
    f"Expected outputs of at most {MAX_ANSWER_BYTES} bytes in one answer: ask about fewer inputs."
)


def seconds_to_answer(objective_ms: float) -> float:
    """Return within how many seconds of its arrival a query has to be combined.

    Combining, signing and sending get 2 ms of the objective, never more than a fifth.
    """
    return (objective_ms - min(2.0, objective_ms / 5.0)) / 1e3


def batch_objective_ms(objective_ms: float, *, inputs: int) -> float:
    """Return the time for a request of so many inputs; a large batch gets one objective each."""
    if inputs <= SMALL_BATCH:
        return objective_ms
    return max(objective_ms, min(objective_ms * inputs, LONGEST_BATCH_MS))
