"""The life of a query: ask arms, combine what came in time, sign a receipt (§5)."""

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import random
from time import monotonic, time
from typing import Any

from core.errors import ClipperError, InvalidInput
from core.loop.loop_slices import Turns
from core.specs import ApplicationSpec
from selection.answers.combine import VOTE, Combined, Objection, decide
from selection.answers.imputation import Averages
from selection.feedback.default_rewards.due_receipts import DueReceipts, outputs_ttl_s
from selection.policies import Selection
from selection.receipts import (
    NONCE_BYTES,
    ArmRecord,
    Receipt,
    ReceiptSigner,
    RolloutDraw,
    Spent,
    fits_inline,
)
from selection.store.large_outputs import OutputStore
from selection.store.selection_store import SelectionStore
from serving.capture.sampling import CapturedQueries
from serving.engine.engine import Engine
from serving.engine.gather import CallOptions, Gather
from serving.engine.outcome import Outcome, Status
from serving.metrics.outcomes import QueryEnding
from serving.metrics.published import ApplicationStats, Metrics
from serving.query.charges import charge, spent_on, together
from serving.query.explain import explain, milliseconds
from serving.query.fallback import (
    ENDING_OF_CAUSE,
    ENDING_OF_ERROR,
    FallbackReason,
    error_for,
    why_default,
)
from serving.query.large_batches import LargeBatches
from serving.query.other_arms import (
    OpinionBound,
    SecondOpinion,
    dearest_other,
    drawn_other,
    sureness_of,
)
from serving.query.prediction import Choice, Prediction
from serving.query.rollouts.canaries import by_places, hedges_of
from serving.query.rollouts.gate_counts import GateCounts
from serving.query.rollouts.shadows import Shadow, Shadows
from serving.query.routing import Router

# Looking up a member of an enumeration takes 70 ns.
_OK, _REFUSED = Status.OK, Status.INVALID_INPUT


@dataclass(slots=True, kw_only=True)
class QueryResources:
    """Parts of a web process that its queries share."""

    engine: Engine
    router: Router
    store: SelectionStore
    outputs: OutputStore
    due: DueReceipts
    signer: ReceiptSigner
    metrics: Metrics
    captured: CapturedQueries
    gates: GateCounts
    shadows: Shadows
    averages: Averages = field(default_factory=Averages)
    turns: Turns = field(default_factory=Turns)
    large_batches: LargeBatches = field(default_factory=LargeBatches)
    opinions: defaultdict[int, OpinionBound] = field(
        default_factory=lambda: defaultdict(OpinionBound)
    )


class Query:
    """One query of one application, from its arrival to its answer."""

    __slots__ = (
        "_call",
        "_resources",
        "_stats",
        "application",
        "arms",
        "arrived",
        "begun",
        "choice",
        "context",
        "deadline",
        "dearer",
        "features",
        "gather",
        "hurried",
        "input",
        "key",
        "objective_ms",
        "options",
        "second",
        "shadows",
        "stand_ins",
        "trial",
    )

    def __init__(
        self,
        resources: QueryResources,
        application: ApplicationSpec,
        choice: Choice,
        input: bytes,
        hurried: bool,
        options: CallOptions,
        context: str,
        key: str,
        features: tuple[float, ...],
        arrived: float,
        objective_ms: float,
        deadline: float,
        traced: bool,
        trial: bool = False,
    ) -> None:
        self._resources = resources
        self._stats: ApplicationStats = resources.metrics.of_application(application.name)
        # A person tries it: it has counts of its own, which nobody reads.
        self.trial = trial
        if trial:
            self._stats.trials += 1
            self._stats = ApplicationStats()
        self.application = application
        self.input = input
        # It has less time, or a later turn, than the application's objective gives.
        self.hurried = hurried
        self.options = options
        self.context = context
        self.key = key
        self.features = features
        self.arrived = arrived
        self.objective_ms = objective_ms
        self.deadline = deadline
        self.choice = choice
        # The live arms that answer where their canaries don't.
        self.stand_ins: tuple[str, ...] = ()
        self.arms = choice.selection.arms
        if choice.draws:
            self.stand_ins = hedges_of(choice.draws)
            self.arms += self.stand_ins
        self.shadows: tuple[Shadow, ...] = ()
        self.second: SecondOpinion | None = None
        # The arm asked because the first was unsure.
        self.dearer = ""
        self.begun = monotonic() if traced else 0.0
        self.gather = Gather(len(self.arms), traced or application.lateness_price > 0.0)

    def when_settled(self, call: Callable[[], None]) -> None:
        """Call when every arm has answered or the deadline has passed."""
        if not self.gather.missing and not self._asks_another():
            call()
        else:
            self._call = call
            self.gather.when_settled(self._go_on, seconds=self.deadline - monotonic())

    def _go_on(self) -> None:
        if self._asks_another():
            self.when_settled(self._call)
        else:
            self._call()

    def _asks_another(self) -> bool:
        """Ask a second arm if the only one asked has refused the input, or is unsure."""
        outcomes = self.gather.outcomes
        if len(outcomes) != 1 + len(self.stand_ins):
            return False
        first = self._first() if self.stand_ins else outcomes[0]
        if first is None:
            return False
        if first.status == _OK:
            below = self.application.cascade_below
            return below is not None and self._asks_a_dearer(first.payload, below=below)
        if self.stand_ins or monotonic() >= self.deadline:
            return False
        if self.choice.draws and self.choice.draws[0].taken:
            self._ask_stand_in(self.choice.draws[0].live)
            return True
        if first.status != _REFUSED:
            return False
        self.second = self._ask_another()
        if self.second is None:
            return False
        self.arms = (*self.arms, self.second.arm)
        return True

    def _first(self) -> Outcome | None:
        """Return how the only arm asked has ended, or the live version in its canary's place."""
        outcomes = self.gather.outcomes
        if self.stand_ins and (outcomes[0] is None or outcomes[0].status != _OK):
            return outcomes[1]
        return outcomes[0]

    def _ask_stand_in(self, live: str) -> None:
        """Ask the live version in the place of a canary that has failed."""
        self._ask_one_more(live)
        self.stand_ins = (live,)
        self.arms = (*self.arms, live)

    def _asks_a_dearer(self, output: bytes, *, below: float) -> bool:
        targets, connected = self.choice.targets, self._resources.engine.connected
        targets = {arm: targets[arm] for arm in {*self.choice.prepared.weights, *self.arms}}
        if self.choice.forced or monotonic() >= self.deadline or sureness_of(output) >= below:
            return False
        dearer = dearest_other(
            targets,
            asked=self.arms[0],
            may_ask=lambda arm: connected(targets[arm].version.id),
        )
        if dearer is None:
            return False
        self._ask_one_more(dearer)
        self.dearer = dearer
        self.arms = (*self.arms, dearer)
        return True

    def _ask_another(self) -> SecondOpinion | None:
        """Ask another arm about an input that the first refuses, if there is one."""
        application, choice, resources = self.application, self.choice, self._resources
        if choice.forced or len(self.arms) != 1 or len(choice.targets) == 1:
            return None
        targets, connected = choice.targets, resources.engine.connected
        second = drawn_other(
            choice.prepared.chances(self.features),
            asked=self.arms[0],
            may_ask=lambda arm: connected(targets[arm].version.id),
        )
        if second is None or not resources.opinions[application.id].take(queries=self.number):
            return None
        self._ask_one_more(second.arm)
        return second

    def _ask_one_more(self, arm: str) -> None:
        resources = self._resources
        if not self.trial:
            resources.store.count_queries(self.application, context=self.context, arms=(arm,))
        resources.engine.ask(
            self.gather,
            [self.choice.targets[arm]],
            input=self.input,
            deadline=self.deadline,
            options=self.options,
            first=self.gather.ask_one_more(),
        )

    @property
    def number(self) -> int:
        """Return how many queries of its application have ended so far."""
        return self._stats.queries + self._stats.errors

    async def settled(self) -> None:
        """Wait until every arm has answered or the deadline has passed."""
        try:
            while self.gather.missing or self._asks_another():
                await self.gather.settled(seconds=self.deadline - monotonic())
                if monotonic() >= self.deadline:
                    return
        except asyncio.CancelledError:
            self.abandon()
            raise

    @property
    def found_no_room(self) -> bool:
        """Return whether every model asked refused it because its queue was full."""
        outcomes = self.gather.outcomes
        return bool(outcomes) and all(o and o.status == Status.SATURATED for o in outcomes)

    def abandon(self) -> None:
        """Stop for a caller who has left; call it at most once, instead of `prediction`."""
        self._stats.abandoned += 1
        self.gather.abandon()

    def prediction(self) -> Prediction:
        """Combine what arrived. Raises if nothing did and there is no default output."""
        try:
            return self._combined()
        except Exception as error:
            self._join_shadows(b"", ttl_s=0)  # without a receipt
            self._stats.fail(self.arms, ENDING_OF_ERROR.get(type(error), QueryEnding.FAILED))
            # A bad input is its caller's.
            if isinstance(error, ClipperError) and not isinstance(error, InvalidInput):
                self._capture({}, query_id="", output=b"", confidence=0.0, cause=error.code)
            raise

    def _combined(self) -> Prediction:
        settled_at = monotonic() if self.gather.traces is not None else 0.0
        outputs = outputs_of(self.arms, self.gather.outcomes)
        if not self.choice.forced:
            self._stats.count_arms(self.arms, self.gather.outcomes)
            if not self.trial:
                self._charge(outputs)
            if len(outputs) > 1:
                self._stats.compare([*outputs.values()])
            if self.choice.draws:
                self._note_draws(outputs)
        places = by_places(outputs, self.choice.draws) if self.choice.draws else outputs
        application, fallback = self.application, None
        alone = len(outputs) == len(self.arms) == 1 and application.combine == VOTE
        if alone and self.choice.prepared.record is None:
            [output], confidence = outputs.values(), 1.0  # most queries, with nothing to decide
        elif isinstance(decided := self._decide(places), Objection):
            fallback = self._fallback(decided)
            output, confidence = self._default(fallback), decided.confidence
        else:
            output, confidence = decided
        query_id = self._receipt(outputs, defaulted=fallback is not None)
        if application.keep_inputs and not self.trial:
            samples = self._resources.store.input_samples
            samples.offer(application.id, input=self.input, outputs=outputs)
        if application.capture_rate:
            cause = "" if fallback is None else fallback.cause.value
            self._capture(
                outputs, query_id=query_id, output=output, confidence=confidence, cause=cause
            )
        seconds = monotonic() - self.arrived
        self._stats.record(
            self.arms,
            seconds=seconds,
            slo_ms=self.objective_ms,
            default=None if fallback is None else ENDING_OF_CAUSE[fallback.cause],
        )
        return Prediction(
            query_id=query_id,
            output=output,
            confidence=confidence,
            models=outputs,
            asked=len(self.arms),
            latency_ms=seconds * 1e3,
            default_explanation=None if fallback is None else fallback.explanation,
            breakdown=self.explained(settled_at=settled_at),
        )

    def _capture(
        self,
        outputs: dict[str, bytes],
        *,
        query_id: str,
        output: bytes,
        confidence: float,
        cause: str,
    ) -> None:
        """Offer the query to those that people review, if it is drawn."""
        rate = self.application.capture_rate
        if rate and not self.trial and random() < rate:  # noqa: S311
            self._resources.captured.offer(
                self.application,
                input=self.input,
                output=output,
                outputs=outputs,
                ends=zip(self.arms, self.gather.outcomes, strict=True),
                query_id=query_id,
                context=self.context,
                confidence=confidence,
                cause=cause,
                latency_ms=(monotonic() - self.arrived) * 1e3,
                key=self.key,
            )

    def _charge(self, outputs: Mapping[str, bytes]) -> None:
        """Note at once which arms answered: feedback may never come."""
        reliability = self._resources.store.reliability(self.application)
        if len(outputs) == len(self.arms):
            reliability.all_answered(self.arms)
            return
        if self.second is not None and outputs:
            self._resources.opinions[self.application.id].helped()
        first = self.choice.selection.arms
        for arm, outcome in zip(self.arms, self.gather.outcomes, strict=True):
            hurried = self.hurried or arm not in first
            answered = charge(outcome, accepted=bool(outputs), hurried=hurried)
            if answered is not None:
                reliability.note(arm, answered=answered)

    def explained(self, *, settled_at: float) -> dict[str, Any] | None:
        """Return where the time went, if the caller asked for it."""
        outcomes, traces = self.gather.outcomes, self.gather.traces
        if traces is None or not self.begun:
            return None
        explained = {
            "objective_ms": self.objective_ms,
            "prepare_ms": milliseconds(self.begun - self.arrived),
            "wait_ms": milliseconds(settled_at - self.begun),
            "combine_ms": milliseconds(monotonic() - settled_at),
            "models": {
                arm: explain(outcome, trace)
                for arm, outcome, trace in zip(self.arms, outcomes, traces, strict=True)
            },
        }
        if self.dearer and (first := self._first()) is not None:
            explained["cascade"] = {
                "to": self.dearer,
                "sureness": round(sureness_of(first.payload), 4),
            }
        return explained

    def _decide(self, outputs: dict[str, bytes]) -> Combined | Objection:
        if self.dearer and self.dearer in outputs:
            outputs = {self.dearer: outputs[self.dearer]}
        return decide(
            outputs,
            weights=self.choice.prepared.weights,
            asked=self._judged(outputs),
            how=self.application.combine,
            threshold=self.application.confidence_threshold,
            default=self.application.default_output,
            averages=self._resources.averages,
            prepared=self.choice.prepared,
        )

    def _judged(self, outputs: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return the arms that an answer is of, a live one where its canary was asked."""
        if self.dearer or self.second is not None:
            return tuple(outputs)  # one that a second arm has overruled has no part in it
        if not self.choice.draws:
            return self.arms
        lives = {draw.canary.arm: draw.live for draw in self.choice.draws}
        return tuple([lives.get(arm, arm) for arm in self.choice.selection.arms])

    def _note_draws(self, outputs: Mapping[str, bytes]) -> None:
        """Count for the gates of rollouts what came of the arms that were drawn."""
        outcomes = dict(zip(self.arms, self.gather.outcomes, strict=True))
        for draw in self.choice.draws:
            arm = draw.canary.arm if draw.taken else draw.live
            self._resources.gates.note_call(
                self.application,
                draw.logged,
                outcome=outcomes.get(arm),
                accepted=bool(outputs),
                hurried=self.hurried,
                input=self.input,
            )

    def _fallback(self, objection: Objection) -> FallbackReason:
        """Return why the models' answer isn't given, and count it."""
        connected = partial(self.choice.is_connected, self._resources.engine)
        fallback = why_default(objection, self.gather.outcomes, connected=connected)
        self._stats.count(fallback.cause.value)
        return fallback

    def _default(self, fallback: FallbackReason) -> bytes:
        """Return the default output. Raises if there is none, or the input is bad."""
        default = self.application.default_output
        if default is not None and not fallback.bad_input:
            return default
        raise error_for(
            fallback,
            application=self.application,
            objective_ms=self.objective_ms,
            seconds_until_calm=self._seconds_until_calm,
        )

    def _seconds_until_calm(self) -> float:
        """Return the expected seconds until the arms have answered all that waits now."""
        seconds_behind, targets = self._resources.engine.seconds_behind, self.choice.targets
        return max((seconds_behind(targets[arm].version.id) for arm in self.arms), default=0.0)

    def _receipt(self, outputs: dict[str, bytes], *, defaulted: bool) -> str:
        application, selection = self.application, self.choice.selection
        if self.second is not None:
            # The policy's choice without the arm that refused.
            second = self.second
            selection = Selection((second.arm,), (second.propensity,), selection.overlap)
        draws, has_rollouts = self.choice.draws, bool(self.choice.draws or self.shadows)
        stood_in = self._who_stood_in(outputs) if self.stand_ins else ()
        if self.dearer and self.dearer in outputs:
            # The final answer counts for the arm that it began with.
            outputs = {(stood_in or selection.arms)[0]: outputs[self.dearer]}
        if stood_in:
            # The live version's answers, beside canaries that gave none.
            chances = tuple([self.choice.prepared.probabilities[arm] for arm in stood_in])
            selection = Selection(selection.arms + stood_in, selection.propensities + chances)
        nonce = os.urandom(NONCE_BYTES)
        excused = self._excused(outputs) if len(outputs) < len(selection.arms) else ()
        inline = fits_inline(outputs)
        if not inline:
            self._resources.outputs.keep(nonce, outputs=outputs, ttl_s=outputs_ttl_s(application))
            outputs = {}
        receipt = Receipt(
            nonce=nonce,
            issued_at_ms=int(time() * 1e3),
            application_id=application.id,
            context=self.context,
            # By map: compiled code would make a float of a whole propensity.
            arms=tuple(
                map(
                    ArmRecord,
                    selection.arms,
                    selection.propensities,
                    map(outputs.get, selection.arms),
                )
            ),
            forced=self.choice.forced
            or self.choice.held_out
            or (has_rollouts and any(draw.taken for draw in draws)),
            stored=not inline,
            features=self.features,
            excused=excused,
            window_s=application.feedback_window_s,
            key=self.key,
            spent=self._spent(selection.arms)
            if application.lateness_price or application.cost_price
            else (),
            held_out=self.choice.held_out,
            overlap=selection.overlap,
            defaulted=defaulted,
            rollouts=self._logged() if has_rollouts else (),
        )
        token = self._resources.signer.sign(receipt)
        if has_rollouts:
            self._join_rollouts(token, nonce)
        silent = application.default_reward is not None and not self.trial
        if silent and selection.arms and not self.choice.forced:
            self._resources.due.add(application, token=token, issued_at_ms=receipt.issued_at_ms)
        return token

    def _join_rollouts(self, token: str, nonce: bytes) -> None:
        """Tell the query's shadows, and its canaries' rollouts, by which receipt it is known."""
        self._join_shadows(nonce, ttl_s=outputs_ttl_s(self.application))
        for draw in self.choice.draws:
            if draw.taken:
                self._resources.gates.note_answer(draw.canary.rollout_id, token)

    def _join_shadows(self, nonce: bytes, *, ttl_s: int) -> None:
        for shadow in self.shadows:
            outcome = self.gather.outcomes[self.arms.index(shadow.draw.live)]
            shadow.join(nonce, outcome, ttl_s=ttl_s)

    def _logged(self) -> tuple[RolloutDraw, ...]:
        """Return what the receipt says of canaries and shadows."""
        draws = [draw.logged for draw in self.choice.draws]
        return tuple(draws + [shadow.draw for shadow in self.shadows if not shadow.is_live])

    def _who_stood_in(self, outputs: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return the live arms that answered in the places of their canaries."""
        silent = {d.live for d in self.choice.draws if d.taken and d.canary.arm not in outputs}
        return tuple([arm for arm in self.stand_ins if arm in silent and arm in outputs])

    def _spent(self, arms: tuple[str, ...]) -> tuple[Spent, ...]:
        elapsed = monotonic() - self.arrived
        spent = spent_on(
            self.arms if self.dearer else arms,
            asked=self.arms,
            traces=self.gather.traces,
            targets=self.choice.targets,
            elapsed=elapsed,
        )
        if not self.dearer:
            return spent
        # The answer counts for the last of the arms: the live version, if its canary has failed.
        free = (Spent(0.0, 0.0),) * (len(arms) - 1)
        return (*free, together(spent, elapsed=elapsed))

    def _excused(self, outputs: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return arms whose missing answer feedback doesn't hold against them.

        Those that are down pay by their reliability; the others had less time than the objective.
        """
        if self.hurried or self.second is not None:
            return tuple(arm for arm in self.arms if arm not in outputs)
        down = self.choice.prepared.down
        return tuple(arm for arm in self.arms if arm in down and arm not in outputs)


def outputs_of(names: tuple[str, ...], outcomes: list[Outcome | None]) -> dict[str, bytes]:
    if len(names) == 1 and (only := outcomes[0]) is not None and only.status == _OK:
        return {names[0]: only.payload}
    return {
        name: outcome.payload
        for name, outcome in zip(names, outcomes, strict=True)
        if outcome is not None and outcome.status == _OK
    }
