"""The scenarios: a stack, what is asked of it, and what disturbs it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.tail import disturbances
from benchmarks.tail.disturbances import Disturbance

ECHO, STEADY = "echo", "steady"
PROBE = Path(__file__).with_name("probe")
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a stack is set up: settings beyond the defaults, and how far its heap is grown first."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    grown: bool = False
    probed: bool = False


# Versions that were replaced are kept warm for a short time, so that every deploy starts a replica
# and no slot is short of them.
WARM = {"CLIPPER_WARM_SECONDS": "5"}
ORDINARY = Kind(name="ordinary", settings=WARM)
SMALL_CACHE = Kind(name="small cache", settings=WARM | {"CLIPPER_CACHE_BYTES": str(4 * MIB)})
LARGE_HEAP = Kind(
    name="large heap",
    settings=WARM | {"CLIPPER_CACHE_BYTES": str(1024 * MIB)},
    grown=True,
    probed=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    name: str
    title: str
    disturb: Disturbance = disturbances.none
    kind: Kind = ORDINARY
    contexts: bool = False


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name=STEADY, title="steady"),
        Scenario(
            name="held",
            title="periodic tasks held still",
            disturb=disturbances.hold_periodic_tasks,
        ),
        Scenario(name="console", title="console open", disturb=disturbances.open_console),
        Scenario(
            name="deploy-other",
            title="another model deployed",
            disturb=disturbances.deploy_another_model,
        ),
        Scenario(
            name="deploy-same",
            title="the same model deployed",
            disturb=disturbances.deploy_the_same_model,
        ),
        Scenario(name="feedback", title="feedback, 500/s", disturb=disturbances.send_feedback),
        Scenario(
            name="metrics", title="metrics scraped each second", disturb=disturbances.scrape_metrics
        ),
        Scenario(name="eviction", title="every miss evicts", kind=SMALL_CACHE),
        Scenario(
            name="collections",
            title="full collections, large heap",
            disturb=disturbances.collect_garbage,
            kind=LARGE_HEAP,
            contexts=True,
        ),
    )
}
