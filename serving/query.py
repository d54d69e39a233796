"""The life of a query: whom to ask, what came back in time, one answer with a receipt (§5)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from random import random
from time import monotonic, time
from typing import Any, NamedTuple

from registry.errors import InvalidInput, ModelFailed
from registry.specs import ApplicationSpec, VersionSpec
from selection.averages import Averages
from selection.combine import combine
from selection.feedback.due import DueReceipts, outputs_ttl_s
from selection.outputs import OutputStore
from selection.policies import Selection
from selection.receipts import NONCE_BYTES, ArmRecord, Receipt, ReceiptSigner, fits_inline
from selection.state import SelectionStore
from serving.allowances import Allowance
from serving.breakdown import breakdown
from serving.engine.engine import Engine
from serving.engine.outcome import Outcome, Status
from serving.engine.questions import Question, Terms
from serving.metrics import ApplicationStats, Metrics
from serving.objectives import seconds_to_answer
from serving.prediction import Prediction
from serving.routing import Router, Target
from serving.shortfalls import Shortfall, error_for, text_of, why_none
from serving.turns import LargeBatches, Turns

# What feedback by input may take to get the arms' answers, where the objective is shorter.
FEEDBACK_OBJECTIVE_S = 1.0


class Choice(NamedTuple):
    """Whom a query asks, how far each is trusted, and whether its caller `forced` the choice."""

    targets: Mapping[str, Target]
    selection: Selection
    weights: Mapping[str, float]
    forced: bool


class QueryProcessor:
    """Ties selection to the engine. `begin` is synchronous; only `Query.settled` waits."""

    def __init__(
        self,
        *,
        engine: Engine,
        router: Router,
        store: SelectionStore,
        outputs: OutputStore,
        due: DueReceipts,
        signer: ReceiptSigner,
        metrics: Metrics,
    ) -> None:
        self.engine = engine
        self.router = router
        self.store = store
        self.outputs = outputs
        self.due = due
        self.averages = Averages()
        self.signer = signer
        self.metrics = metrics
        self.turns = Turns()
        self.large_batches = LargeBatches()

    def check_features(
        self,
        application: ApplicationSpec,
        features: tuple[float, ...],
        *,
        version: VersionSpec | None = None,
    ) -> None:
        """Raise `BadRequest` where these aren't the features that the policy asks for.

        A query that asks just `version` needs none.
        """
        if features or version is None:
            self.store.policy(application).check_features(features)

    def begin(
        self,
        application: ApplicationSpec,
        *,
        input: bytes,
        arrived: float,
        context: str = "",
        features: tuple[float, ...] = (),
        version: VersionSpec | None = None,
        timeout_ms: float | None = None,
        traced: bool = False,
        allowance: Allowance | None = None,
    ) -> Query:
        """Ask the arms that the policy selects, or just `version`.

        `input` is raw JSON text; `arrived` is on the monotonic clock and starts the objective,
        which `timeout_ms` may shorten; an `allowance` replaces both. A `traced` query can tell
        afterwards where its time went.
        `features` have passed `check_features`.
        """
        choice = self._choice(application, context=context, features=features, version=version)
        objective_ms = application.slo_ms
        if allowance is None:
            terms = self.router.terms(application)
            within_ms = objective_ms if timeout_ms is None else min(timeout_ms, objective_ms)
            deadline = arrived + seconds_to_answer(within_ms)
        else:
            objective_ms, deadline, terms = allowance
        query = Query(
            processor=self,
            application=application,
            context=context,
            features=features,
            arrived=arrived,
            objective_ms=objective_ms,
            deadline=deadline,
            choice=choice,
            traced=traced,
        )
        self._ask(
            query.question,
            targets=choice.targets,
            names=choice.selection.arms,
            input=input,
            by=deadline,
            terms=terms,
        )
        return query

    def _choice(
        self,
        application: ApplicationSpec,
        *,
        context: str,
        features: tuple[float, ...],
        version: VersionSpec | None,
    ) -> Choice:
        if version is not None:
            arm = version.arm
            return Choice({arm: Target.of(version)}, Selection((arm,), (1,)), {arm: 1.0}, True)
        arms = self.router.arms(application)
        if not arms.weights:
            return Choice({}, Selection((), ()), {}, False)
        prepared = self.store.peek(application, context=context, arms=arms.weights)
        if context and self.store.policy(application).sticky:
            selection = prepared.assigned(f"{application.id}:{context}")
        else:
            selection = prepared.select(random(), features)  # noqa: S311
        self.store.count_queries(application, context=context, arms=selection.arms)
        return Choice(arms.targets, selection, prepared.weights, False)

    async def answers_of_all_arms(
        self, application: ApplicationSpec, input: bytes
    ) -> dict[str, bytes]:
        """Return every arm's output for `input`, for feedback that comes without a receipt."""
        targets = self.router.arms(application).targets
        names = tuple(targets)
        question = Question(calls=len(names), deadlines=self.engine.deadlines)
        seconds = max(FEEDBACK_OBJECTIVE_S, application.slo_ms / 1e3)
        self._ask(
            question,
            targets=targets,
            names=names,
            input=input,
            by=monotonic() + seconds,
            terms=self.router.terms(application),
        )
        await question.settled(seconds=seconds)
        refusals = [o for o in question.outcomes if o and o.status == Status.INVALID_INPUT]
        answers = _outputs(names, question.outcomes)
        if refusals and not answers:
            raise InvalidInput(f"input: {text_of(refusals[0])}")
        return answers

    def _ask(
        self,
        question: Question,
        *,
        targets: Mapping[str, Target],
        names: tuple[str, ...],
        input: bytes,
        by: float,
        terms: Terms,
    ) -> None:
        digest = sha256(input).digest() if terms.cached else None
        ask = self.engine.ask
        for index, name in enumerate(names):
            target = targets[name]
            ask(
                target.version,
                key=None if digest is None else target.key_prefix + digest,
                input=input,
                deadline=by,
                question=question,
                index=index,
                terms=terms,
            )


class Query:
    """One question of one application, from its arrival to its answer."""

    __slots__ = (
        "_processor",
        "_stats",
        "application",
        "arrived",
        "begun",
        "choice",
        "context",
        "deadline",
        "features",
        "objective_ms",
        "question",
    )

    def __init__(
        self,
        *,
        processor: QueryProcessor,
        application: ApplicationSpec,
        context: str,
        features: tuple[float, ...],
        arrived: float,
        objective_ms: float,
        deadline: float,
        choice: Choice,
        traced: bool,
    ) -> None:
        self._processor = processor
        self._stats: ApplicationStats = processor.metrics.of_application(application.name)
        self.application = application
        self.context = context
        self.features = features
        self.arrived = arrived
        self.objective_ms = objective_ms
        self.deadline = deadline
        self.choice = choice
        self.begun = monotonic() if traced else 0.0
        self.question = Question(
            calls=len(choice.selection.arms),
            traced=traced,
            deadlines=processor.engine.deadlines,
        )

    def when_settled(self, call: Callable[[], None]) -> None:
        """Call when every arm has answered, or the deadline has passed; at once where they have."""
        if self.question.answered:
            call()
        else:
            self.question.when_settled(call, seconds=self.deadline - monotonic())

    async def settled(self) -> None:
        """Wait until every arm has answered or the deadline has passed."""
        if self.question.answered:
            return
        try:
            await self.question.settled(seconds=self.deadline - monotonic())
        except asyncio.CancelledError:
            self.abandon()
            raise

    @property
    def found_no_room(self) -> bool:
        """Whether every model asked refused it because its queue was full."""
        outcomes = self.question.outcomes
        return bool(outcomes) and all(o and o.status == Status.SATURATED for o in outcomes)

    def abandon(self) -> None:
        """Its caller has left: ask nobody any more, tell nobody, and count it as abandoned.

        To be called at most once, and instead of `prediction`.
        """
        self._stats.abandoned += 1
        self.question.abandon()

    def prediction(self) -> Prediction:
        """Combine what arrived. Raises where nothing did and there is no default output."""
        settled_at = monotonic() if self.question.traces is not None else 0.0
        if not self.choice.forced:
            self._stats.count_arms(self.choice.selection.arms, self.question.outcomes)
        outputs = _outputs(self.choice.selection.arms, self.question.outcomes)
        output, confidence, shortfall = self._output(outputs)
        if shortfall is not None:
            self._stats.count(shortfall.counter)
            if self.application.default_output is None:
                self._stats.errors += 1
                raise error_for(
                    shortfall.explanation,
                    application=self.application,
                    objective_ms=self.objective_ms,
                    seconds_until_calm=self._seconds_until_calm,
                )
            output = self.application.default_output
        seconds = monotonic() - self.arrived
        self._stats.record(seconds=seconds, default=shortfall is not None, slo_ms=self.objective_ms)
        return Prediction(
            query_id=self._receipt(outputs),
            output=output,
            confidence=confidence,
            models=outputs,
            asked=len(self.choice.selection.arms),
            latency_ms=seconds * 1e3,
            default_explanation=None if shortfall is None else shortfall.explanation,
            breakdown=self.explained(settled_at=settled_at),
        )

    def explained(self, *, settled_at: float) -> dict[str, Any] | None:
        """Say where the time went, where the caller asked for it."""
        traces = self.question.traces
        if traces is None:
            return None
        return breakdown(
            arms=self.choice.selection.arms,
            outcomes=self.question.outcomes,
            traces=traces,
            objective_ms=self.objective_ms,
            preparing=self.begun - self.arrived,
            waiting=settled_at - self.begun,
            combining=monotonic() - settled_at,
        )

    def _output(self, outputs: dict[str, bytes]) -> tuple[bytes, float, Shortfall | None]:
        """Return output, confidence, and why the default must be given instead, if it must."""
        if not outputs:
            return b"", 0.0, self._why_none()
        try:
            combined = combine(
                outputs,
                weights=self.choice.weights,
                asked=self.choice.selection.arms,
                how=self.application.combine,
                averages=self._processor.averages,
            )
        except ModelFailed as error:
            return b"", 0.0, Shortfall("failed", f"the model failed: {error.message}")
        threshold = self.application.confidence_threshold
        # Without a default there is nothing better to give than an answer of low confidence.
        if combined.confidence < threshold and self.application.default_output is not None:
            why = f"confidence {combined.confidence:.3g} below the threshold {threshold:.3g}"
            return combined.output, combined.confidence, Shortfall("unsure", why)
        return combined.output, combined.confidence, None

    def _why_none(self) -> Shortfall:
        """Say why there is no output. Raises InvalidInput where the models refused the input."""
        try:
            return why_none(self.question.outcomes, connected=self._connected)
        except InvalidInput:
            self._stats.errors += 1
            raise

    def _connected(self) -> bool:
        targets, connected = self.choice.targets, self._processor.engine.connected
        return any(connected(targets[arm].version.id) for arm in self.choice.selection.arms)

    def _seconds_until_calm(self) -> float:
        """Return when the arms asked should have answered all that waits for them now."""
        seconds_behind, targets = self._processor.engine.seconds_behind, self.choice.targets
        arms = self.choice.selection.arms
        return max((seconds_behind(targets[arm].version.id) for arm in arms), default=0.0)

    def _receipt(self, outputs: dict[str, bytes]) -> str:
        application, selection = self.application, self.choice.selection
        nonce = os.urandom(NONCE_BYTES)
        inline = fits_inline(outputs)
        if not inline:
            self._processor.outputs.keep(nonce, outputs=outputs, ttl_s=outputs_ttl_s(application))
            outputs = {}
        receipt = Receipt(
            nonce=nonce,
            issued_at_ms=int(time() * 1e3),
            application_id=application.id,
            context=self.context,
            arms=tuple(
                [
                    ArmRecord(arm, propensity, outputs.get(arm))
                    for arm, propensity in zip(selection.arms, selection.propensities, strict=True)
                ]
            ),
            forced=self.choice.forced,
            stored=not inline,
            features=self.features,
        )
        token = self._processor.signer.sign(receipt)
        if application.default_reward is not None and selection.arms and not self.choice.forced:
            self._processor.due.add(application, token=token, issued_at_ms=receipt.issued_at_ms)
        return token


def _outputs(names: tuple[str, ...], outcomes: list[Outcome | None]) -> dict[str, bytes]:
    return {
        name: outcome.payload
        for name, outcome in zip(names, outcomes, strict=True)
        if outcome is not None and outcome.status == Status.OK
    }
