"""Growth of counters that live in several processes, which come and go."""

from collections.abc import Mapping, Sequence

from core.counters import growth, went_back

# Asked, answered, late, failed: of one arm.
Counts = list[int]
ByArm = Mapping[str, Counts]
# The counts of each process since it started.
Readings = Mapping[str, ByArm]


def counted_since(before: Readings, after: Readings) -> dict[str, Counts]:
    """Return what was counted between two readings, by arm that has grown."""
    grown: list[dict[str, Counts]] = []
    for process, arms in after.items():
        earlier = {arm: before.get(process, {}).get(arm, ()) for arm in arms}
        grown.append(
            {
                arm: growth(() if went_back(earlier[arm], counts) else earlier[arm], counts)
                for arm, counts in arms.items()
            }
        )
    return {arm: counts for arm, counts in add_counts(*grown).items() if any(counts)}


def keep_last_readings(before: Readings, after: Readings) -> dict[str, ByArm]:
    """Return the last reading of every process, those of the longest gone left out."""
    gone = {process: arms for process, arms in before.items() if process not in after}
    # A process that is only slow to publish would otherwise be counted from its start again.
    return {**dict(list(gone.items())[-64:]), **after}


def add_counts(*parts: Mapping[str, Sequence[int]]) -> dict[str, Counts]:
    total: dict[str, Counts] = {}
    for part in parts:
        for arm, counts in part.items():
            known = total.get(arm, [0] * len(counts))
            total[arm] = [a + b for a, b in zip(known, counts, strict=True)]
    return total
