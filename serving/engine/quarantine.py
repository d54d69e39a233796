"""Quarantine of inputs that were with a replica when it died: asked again apart, or refused."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from serving.engine.gather import Call

# A suspect batch is asked again in eight parts rather than halves, as a replica takes seconds to
# come back: 64 inputs cost three replicas at most, and 4,096 five.
PARTS = 8
# An input that two replicas died of, one alone, is refused for so long.
QUARANTINE_S = 300.0
# Suspects are remembered twelve times as long, and at most so many of them.
MAX_REMEMBERED = 8192


@dataclass(slots=True)
class Suspicion:
    """Deaths that an input was present at, and with how many others it may be asked again."""

    company: int
    seen_at: float
    deaths: int = 1
    refused_until: float = 0.0


class Quarantine:
    """Suspects of one version, which wait in groups that are asked one after the other."""

    def __init__(self, *, capacity: int, max_bytes: int = 64 << 20) -> None:
        self.suspicions: dict[bytes, Suspicion] = {}
        self.rows = 0
        self._bytes = 0
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._groups: deque[list[Call]] = deque()

    def suspicion_of(self, call: Call) -> Suspicion | None:
        return self.suspicions.get(_identity(call))

    def blame(self, calls: list[Call], *, now: float) -> list[Call]:
        """Note that a replica died of one of these; return those refused from now on."""
        company = max(1, len(calls) // PARTS)
        guilty = []
        for call in calls:
            suspicion = self._witness(call, company=company, now=now)
            if len(calls) == 1 and suspicion.deaths > 1:
                suspicion.refused_until = now + QUARANTINE_S
                guilty.append(call)
        return guilty

    def acquit(self, calls: Iterable[Call]) -> None:
        """Clear calls that a replica has answered."""
        for call in calls:
            self.suspicions.pop(_identity(call), None)

    def wait(self, call: Call) -> bool:
        """Let a suspect wait in a group; return False if there is no room."""
        size = len(call.input)
        if self.rows >= self._capacity or (self.rows and self._bytes + size > self._max_bytes):
            return False
        company = self._company_of(call)
        last = self._groups[-1] if self._groups else None
        if last is not None and len(last) < min(company, self._company_of(last[0])):
            last.append(call)
        else:
            self._groups.append([call])
        self.rows += 1
        self._bytes += size
        return True

    def next_group(self) -> list[Call]:
        """Take out the next group to ask; empty if none waits."""
        group = self._groups.popleft() if self._groups else []
        self._note_gone(group)
        return group

    def drop(self, *, now: float) -> list[Call]:
        """Take out calls that have expired or that nobody waits for."""
        gone = [c for group in self._groups for c in group if c.deadline <= now or not c.wanted]
        if gone:
            kept = [[c for c in group if c.deadline > now and c.wanted] for group in self._groups]
            self._groups = deque(group for group in kept if group)
            self._note_gone(gone)
        return gone

    def clear(self) -> list[Call]:
        """Take out all that wait."""
        calls = [call for group in self._groups for call in group]
        self._groups.clear()
        self._note_gone(calls)
        return calls

    def forget(self, *, now: float) -> None:
        """Forget old suspects."""
        while self.suspicions:
            first = next(iter(self.suspicions))
            if self.suspicions[first].seen_at + 12 * QUARANTINE_S > now:
                return
            del self.suspicions[first]

    def _note_gone(self, calls: list[Call]) -> None:
        self.rows -= len(calls)
        self._bytes -= sum(len(call.input) for call in calls)

    def _company_of(self, call: Call) -> int:
        suspicion = self.suspicion_of(call)
        return 1 if suspicion is None else suspicion.company

    def _witness(self, call: Call, *, company: int, now: float) -> Suspicion:
        identity = _identity(call)
        known = self.suspicions.pop(identity, None)  # the latest are last
        if known is None:
            known = Suspicion(company=company, seen_at=now)
            if len(self.suspicions) >= MAX_REMEMBERED:
                del self.suspicions[next(iter(self.suspicions))]
        else:
            known.deaths += 1
            known.company = min(known.company, company)
            known.seen_at = now
        self.suspicions[identity] = known
        return known


def _identity(call: Call) -> bytes:
    """Return the input's key in the cache, or its digest if it has none."""
    return call.key or sha256(call.input).digest()
