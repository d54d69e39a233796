"""Shadows: a version that is rolled out is asked as well, without any part in the answer.

Its calls come after every query's, and are dropped where there is no room. Its answer is compared
with the live version's, and kept beside the receipt, so that a later label judges both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import random

from core.specs import ApplicationSpec
from selection.answers.json_values import same_value_key
from selection.receipts import SHADOWED, RolloutDraw, shadow_nonce
from selection.store.large_outputs import OutputStore
from serving.engine.engine import Engine, Target
from serving.engine.gather import LAST_PRIORITY, CallOptions, Gather
from serving.engine.outcome import Outcome, Status
from serving.query.rollouts.canaries import Canary
from serving.query.rollouts.gate_counts import GateCounts

# Shadow calls of one process that may be under way; further ones are dropped.
MOST_OPEN = 256
# How long a shadow may take: it has the objective behind it.
ANSWER_WITHIN_S = 10.0
# Shadows for which the live version is asked a second time, to know how far it agrees with itself.
ASKED_TWICE = 0.01
# What a busy version says is no failure of one that is asked last.
NO_ROOM = (Status.SATURATED, Status.EXPIRED, Status.OVERLOADED, Status.NOT_CONNECTED)


class Shadow:
    """One query's shadow, from its call until both versions have answered."""

    __slots__ = (
        "_answer",
        "_gather",
        "_live",
        "_shadows",
        "application",
        "draw",
        "input",
        "is_live",
    )

    def __init__(
        self,
        shadows: "Shadows",
        application: ApplicationSpec,
        draw: RolloutDraw,
        gather: Gather,
        input: bytes,
        is_live: bool,
    ) -> None:
        self.application = application
        self.draw = draw
        self.input = input
        self.is_live = is_live
        self._shadows = shadows
        self._gather = gather
        self._live: tuple[bytes, Outcome | None, int] | None = None
        self._answer: Outcome | None = None

    def arrived(self) -> None:
        """Take the shadow's own answer, or that it has none in time."""
        [self._answer] = self._gather.outcomes
        self._shadows.open -= 1
        if self._live is not None:
            self._shadows.settle(self, self._answer, *self._live)

    def join(self, nonce: bytes, outcome: Outcome | None, *, ttl_s: int) -> None:
        """Take the live version's outcome, and the nonce of the receipt that names this shadow.

        A query that ends in an error has no receipt, and an empty nonce.
        """
        self._live = nonce, outcome, ttl_s
        if not self._gather.missing:
            self._shadows.settle(self, self._answer, nonce, outcome, ttl_s)


@dataclass(slots=True, kw_only=True)
class Shadows:
    """The shadow calls of one process."""

    engine: Engine
    outputs: OutputStore
    gates: GateCounts
    asked_twice: float = ASKED_TWICE
    open: int = 0

    def begin(
        self,
        application: ApplicationSpec,
        canaries: Mapping[str, Canary],
        *,
        arms: tuple[str, ...],
        targets: Mapping[str, Target],
        input: bytes,
        now: float,
    ) -> tuple[Shadow, ...]:
        """Ask the shadows of some of the arms that a query asks."""
        found = []
        for live in arms:
            canary = canaries.get(live)
            if canary is None or not canary.shadow_share or random() >= canary.shadow_share:  # noqa: S311
                continue
            draw = RolloutDraw(canary.rollout_id, canary.arm, live, SHADOWED, False)
            if self.open >= MOST_OPEN:
                self.gates.note_dropped(application.id, draw)
                continue
            is_live = random() < self.asked_twice  # noqa: S311
            gather = Gather(1)
            shadow = Shadow(self, application, draw, gather, input, is_live)
            found.append(shadow)
            self.open += 1
            self.engine.ask(
                gather,
                [targets[live] if is_live else canary.target],
                input=input,
                deadline=now + ANSWER_WITHIN_S,
                options=CallOptions(tenant=application.id, priority=LAST_PRIORITY, cached=False),
            )
            gather.when_settled(shadow.arrived, seconds=ANSWER_WITHIN_S)
        return tuple(found)

    def settle(
        self,
        shadow: Shadow,
        answer: Outcome | None,
        nonce: bytes,
        live: Outcome | None,
        ttl_s: int,
    ) -> None:
        """Count what both have answered, and keep the shadow's answer for a label."""
        if answer is None or answer.status in NO_ROOM:
            self.gates.note_dropped(shadow.application.id, shadow.draw)
            return
        if live is None or live.status in NO_ROOM:
            return
        new = answer.payload if answer.status == Status.OK else None
        old = live.payload if live.status == Status.OK else None
        agree = new is not None and old is not None and same_value_key(new) == same_value_key(old)
        if shadow.is_live:
            self.gates.note_noise(shadow.application.id, shadow.draw, agree=agree)
            return
        self.gates.note_shadow(
            shadow.application,
            shadow.draw,
            new=answer,
            old=live,
            agree=agree,
            input=shadow.input,
        )
        if new is not None and nonce:
            self.outputs.keep(shadow_nonce(nonce), outputs={shadow.draw.canary: new}, ttl_s=ttl_s)
