"""Growth of counters that live in several processes, which come and go."""

from collections.abc import Mapping

from core.counters import growth, went_back

# Asked, answered, late, failed: of one arm.
Counts = list[int]
ByArm = Mapping[str, Counts]
# The counts of each process since it started.
Readings = Mapping[str, ByArm]


def counted_since(before: Readings, after: Readings) -> dict[str, Counts]:
    """Return what was counted between two readings, by arm that has grown."""
    total: dict[str, Counts] = {}
    for process, arms in after.items():
        known = before.get(process, {})
        for arm, counts in arms.items():
            earlier = known.get(arm, ())
            grown = growth(() if went_back(earlier, counts) else earlier, counts)
            if any(grown):
                total[arm] = sum_counts(total.get(arm), grown)
    return total


def keep_last_readings(before: Readings, after: Readings) -> dict[str, ByArm]:
    """Return the last reading of every process, those of the longest gone left out."""
    gone = {process: arms for process, arms in before.items() if process not in after}
    # A process that is only slow to publish would otherwise be counted from its start again.
    return {**dict(list(gone.items())[-64:]), **after}


def add_counts(*parts: ByArm) -> dict[str, Counts]:
    total: dict[str, Counts] = {}
    for part in parts:
        for arm, counts in part.items():
            total[arm] = sum_counts(total.get(arm), counts)
    return total


def sum_counts(known: Counts | None, other: Counts) -> Counts:
    return list(other) if known is None else [a + b for a, b in zip(known, other, strict=True)]
