"""Bounds of what Prometheus is shown: few buckets, and of many rows those asked most.

How many are left out is a metric itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Of one process.
MOST_APPLICATIONS = MOST_VERSIONS = 200
MOST_ARMS = 1000
# Which of the 61 bounds are shown: of a version 1.8 ms to 1.5 s, of an application 0.7 ms to 3.6 s,
# of an event loop 0.7 ms to 0.6 s.
OF_VERSIONS = range(13, 44, 6)
OF_APPLICATIONS = range(9, 49, 2)
OF_LOOPS = range(9, 40)
# Other histograms of a version are shown as sum and count.
WITH_BUCKETS = ("queue_seconds", "model_seconds")

Counted = dict[str, dict[str, Any]]
CALLS = ("hits", "misses", "joined")


@dataclass(slots=True)
class Shown:
    """The shown part of a process's document, and how many of each kind are left out."""

    process: str
    applications: Counted = field(default_factory=dict)
    versions: Counted = field(default_factory=dict)
    # By application and arm.
    arms: dict[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Shown:
        applications, versions = document["applications"], document["versions"]
        arms = {
            (application, arm): counts
            for application, values in applications.items()
            for arm, counts in values["arms"].items()
        }
        asked = {arm: values for arm, values in versions.items() if _is_asked(values)}
        calls = {arm: sum(values[name] for name in CALLS) for arm, values in asked.items()}
        queries = {name: values["queries"] for name, values in applications.items()}
        asked_arms = {arm: counts.get("asked", 0) for arm, counts in arms.items()}
        found = cls(
            document["id"],
            applications=_busiest(applications, by=queries, most=MOST_APPLICATIONS),
            versions=_busiest(asked, by=calls, most=MOST_VERSIONS),
            arms=_busiest(arms, by=asked_arms, most=MOST_ARMS),
        )
        found.left_out = {
            "applications": len(applications) - len(found.applications),
            "versions": len(asked) - len(found.versions),
            "arms": len(arms) - len(found.arms),
        }
        return found


def _is_asked(version: Mapping[str, Any]) -> bool:
    """Return whether any of its numbers isn't zero."""
    return any(isinstance(value, int) and value for value in version.values())


def _busiest(counted: dict[Any, Any], *, by: Mapping[Any, int], most: int) -> dict[Any, Any]:
    """Return those asked most, in their order; of equals the first by name."""
    if len(counted) <= most:
        return counted
    kept = set(sorted(counted, key=lambda key: (-by[key], key))[:most])
    return {key: value for key, value in counted.items() if key in kept}
