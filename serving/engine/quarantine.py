"""Inputs that were with a replica when it died: asked again apart from all others, or refused.

Pure: it reads no clock and sends nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from serving.engine.gather import Call

# A replica takes seconds to come back and a batch milliseconds: what died together is asked again
# in eight parts rather than halves, so that 64 inputs cost three replicas at most, and 4,096 five.
PARTS = 8
# Who killed alone, and was there when another replica died, is refused for so long.
QUARANTINE_S = 300.0
# Witnesses of deaths are remembered for twelve times as long, and at most so many of them.
MAX_REMEMBERED = 8192


@dataclass(slots=True)
class Suspicion:
    """Of how many deaths an input was a witness, and in what company it may be asked again."""

    company: int
    seen_at: float
    deaths: int = 1
    refused_until: float = 0.0


class Quarantine:
    """What one version's replicas died of, as far as that is known.

    `groups` wait for being asked, one after the other, each as a batch of its own.
    """

    def __init__(self, *, capacity: int, max_bytes: int = 64 << 20) -> None:
        self.suspicions: dict[bytes, Suspicion] = {}
        self.rows = 0
        self._bytes = 0
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._groups: deque[list[Call]] = deque()

    def refuses(self, call: Call, *, now: float) -> bool:
        """Whether the call's input killed a replica a while ago."""
        suspicion = self.suspicions.get(_identity(call))
        return suspicion is not None and suspicion.refused_until > now

    def suspects(self, call: Call) -> bool:
        return _identity(call) in self.suspicions

    def blame(self, calls: list[Call], *, now: float) -> list[Call]:
        """A replica died of one of these; return those that are refused from now on."""
        company = max(1, len(calls) // PARTS)
        guilty = []
        for call in calls:
            suspicion = self._witness(call, company=company, now=now)
            if len(calls) == 1 and suspicion.deaths > 1:
                suspicion.refused_until = now + QUARANTINE_S
                guilty.append(call)
        return guilty

    def acquit(self, calls: Iterable[Call]) -> None:
        """These were answered, by a replica that had nothing else."""
        for call in calls:
            self.suspicions.pop(_identity(call), None)

    def wait(self, call: Call) -> bool:
        """Let a suspect wait in company that it may have; False where there's no room."""
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
        """Take out whom to ask next; empty where nobody waits."""
        group = self._groups.popleft() if self._groups else []
        self._note_gone(group)
        return group

    def drop(self, *, now: float) -> list[Call]:
        """Take out of those who wait whose deadline has passed, and whom nobody waits for."""
        gone = [c for group in self._groups for c in group if c.deadline <= now or not c.wanted]
        if gone:
            kept = [[c for c in group if c.deadline > now and c.wanted] for group in self._groups]
            self._groups = deque(group for group in kept if group)
            self._note_gone(gone)
        return gone

    def clear(self) -> list[Call]:
        """Take out everybody who waits."""
        calls = [call for group in self._groups for call in group]
        self._groups.clear()
        self._note_gone(calls)
        return calls

    def forget(self, *, now: float) -> None:
        """Forget what was long ago."""
        while self.suspicions:
            first = next(iter(self.suspicions))
            if self.suspicions[first].seen_at + 12 * QUARANTINE_S > now:
                return
            del self.suspicions[first]

    def _note_gone(self, calls: list[Call]) -> None:
        self.rows -= len(calls)
        self._bytes -= sum(len(call.input) for call in calls)

    def _company_of(self, call: Call) -> int:
        suspicion = self.suspicions.get(_identity(call))
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
    """Return the input's key in the cache, or its digest where it has none."""
    return call.key or sha256(call.input).digest()
