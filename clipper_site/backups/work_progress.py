"""Lines that say how far a long piece of work is, one a second at most."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Say = Callable[[str], object]
EVERY_S = 1.0


@dataclass(slots=True, kw_only=True)
class WorkProgress:
    """Counts what is done of `total`, and says it with the rate and the time left."""

    task: str
    unit: str
    total: float
    say: Say
    done: float = 0
    _begun: float = field(default_factory=time.monotonic)
    _said: float = field(default_factory=time.monotonic)

    def add(self, count: float) -> None:
        self.done += count
        if (now := time.monotonic()) >= self._said + EVERY_S:
            self._said = now
            rate = self.done / (now - self._begun)
            left = max(0.0, self.total - self.done) / rate
            self.say(
                f"{self.task}: {self.done:,.0f} of {self.total:,.0f} {self.unit}, "
                f"{rate:,.0f} {self.unit}/s, {left:.0f} s left"
            )
