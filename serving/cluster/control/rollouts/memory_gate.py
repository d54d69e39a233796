"""The gate of memory: what a replica of the new version takes beside one of the live version."""

from time import monotonic

from registry.models import Rollout
from registry.models.rollouts.rollout_plans import MEMORY
from selection.evaluation.gates.gate import GateVerdict
from serving.cluster.control.rollouts.ruling import Judged
from serving.cluster.membership.directory import HEARTBEAT_S, own_directory
from serving.cluster.membership.records import memory_of

MIB = 1 << 20
# Replicas of one version may be so far apart, by buffers and by what was freed and kept.
LEAST_BYTES = 64 * MIB


class MemoryGate:
    """Compares what replicas reported, read once a heartbeat."""

    def __init__(self) -> None:
        self._read_at = -HEARTBEAT_S
        self._memory: dict[int, int] = {}

    def judge(self, rollout: Rollout, *, known: tuple[int, int]) -> tuple[tuple[int, int], Judged]:
        """Return the most bytes so far, of the new version and of the live one, and the verdict."""
        if self._read_at + HEARTBEAT_S <= monotonic():
            self._read_at, self._memory = monotonic(), memory_of(own_directory().read())
        release = rollout.release
        ids = release.version_id, release.previous_version_id
        now = (self._memory.get(key or 0, 0) for key in ids)
        new, live = map(max, known, now)
        return (new, live), judged_memory(rollout, new=new, live=live)


def judged_memory(rollout: Rollout, *, new: int, live: int) -> Judged:
    """Return the verdict on bytes that replicas of both versions took; 0: not known."""
    release, rule = rollout.release, rollout.plan.rule(MEMORY)
    room = 1.0 + rule.margin / 100.0
    versions = release.version, release.previous_version
    tops = [MIB * ((version and version.memory_limit_mb) or 0) for version in versions]
    near = [top > 0 and most * room > top for most, top in zip((new, live), tops, strict=True)]
    verdict = GateVerdict.WORSE
    if not new or not live:
        verdict, said = GateVerdict.OPEN, "not known yet"
    elif new > live * room and new > live + LEAST_BYTES:
        said = f"uses {new / live:.1f} times the memory of version {release.previous_version_name}"
    elif near == [True, False]:
        said = f"leaves less than {rule.margin:g} % to its limit of {tops[0] // MIB:,} MiB"
    else:
        verdict = GateVerdict.NO_WORSE
        said = f"no worse by more than {rule.margin:g} %"
    sizes = f" ({new / MIB:,.0f} MiB against {live / MIB:,.0f} MiB)" if new and live else ""
    return Judged(MEMORY, "", verdict, rule.action, f"memory: {said}{sizes}")
