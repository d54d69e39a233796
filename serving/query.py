"""The life of a query: whom to ask, what came back in time, one answer with a receipt (§5)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from random import random
from time import monotonic, time
from typing import Any, NamedTuple

from registry.errors import (
    ClipperError,
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    NotReady,
    Saturated,
)
from registry.specs import ApplicationSpec, VersionSpec
from selection.combine import combine
from selection.outputs import OutputStore
from selection.policies import Selection
from selection.receipts import NONCE_BYTES, ArmRecord, Receipt, ReceiptSigner, fits_inline
from selection.state import SelectionStore
from serving.breakdown import breakdown
from serving.engine.engine import Engine
from serving.engine.outcome import Outcome, Status
from serving.engine.questions import Question, Terms
from serving.metrics import ApplicationStats, Metrics
from serving.objectives import seconds_to_answer
from serving.routing import Router, Target

# What feedback by input may take to get the arms' answers, where the objective is shorter.
FEEDBACK_OBJECTIVE_S = 1.0

NO_MODEL = "no model is connected"
TOO_LATE = "none answered within the objective"
OVERLOADED = f"{TOO_LATE}: every model asked is overloaded"
# Why a call was refused at once, before it cost a model anything.
REFUSED = (Status.OVERLOADED, Status.SATURATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One answer. `output` and the values of `models` (by `model:version`) are JSON text."""

    query_id: str
    output: bytes
    confidence: float
    models: Mapping[str, bytes]
    latency_ms: float
    default_explanation: str | None = None
    breakdown: Mapping[str, Any] | None = None


class Shortfall(NamedTuple):
    """Why the models' answer won't do: the counter of its cause, and the words for people."""

    counter: str
    explanation: str


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
        signer: ReceiptSigner,
        metrics: Metrics,
    ) -> None:
        self.engine = engine
        self.router = router
        self.store = store
        self.outputs = outputs
        self.signer = signer
        self.metrics = metrics

    def begin(
        self,
        application: ApplicationSpec,
        *,
        input: bytes,
        arrived: float,
        context: str = "",
        version: VersionSpec | None = None,
        timeout_ms: float | None = None,
        traced: bool = False,
    ) -> Query:
        """Ask the arms that the policy selects, or just `version`.

        `input` is raw JSON text; `arrived` is on the monotonic clock and starts the objective,
        which `timeout_ms` may shorten. A `traced` query can tell afterwards where its time went.
        """
        choice = self._choice(application, context=context, version=version)
        objective_ms = application.slo_ms
        if timeout_ms is not None:
            objective_ms = min(timeout_ms, objective_ms)
        query = Query(
            processor=self,
            application=application,
            context=context,
            arrived=arrived,
            deadline=arrived + seconds_to_answer(objective_ms),
            choice=choice,
            traced=traced,
        )
        self._ask(
            query.question,
            targets=choice.targets,
            names=choice.selection.arms,
            input=input,
            by=query.deadline,
            terms=self.router.terms(application),
        )
        return query

    def _choice(
        self, application: ApplicationSpec, *, context: str, version: VersionSpec | None
    ) -> Choice:
        if version is not None:
            arm = version.arm
            return Choice({arm: Target.of(version)}, Selection((arm,), (1,)), {arm: 1.0}, True)
        arms = self.router.arms(application)
        if not arms.weights:
            return Choice({}, Selection((), ()), {}, False)
        prepared = self.store.peek(application, context=context, arms=arms.weights)
        selection = prepared.select(random())  # noqa: S311
        self.store.count_queries(application.id, context=context, arms=selection.arms)
        return Choice(arms.targets, selection, prepared.weights, False)

    async def answers_of_all_arms(
        self, application: ApplicationSpec, input: bytes
    ) -> dict[str, bytes]:
        """Return every arm's output for `input`, for feedback that comes without a receipt."""
        targets = self.router.arms(application).targets
        names = tuple(targets)
        question = Question(calls=len(names))
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
            raise InvalidInput(f"input: {_text(refusals[0])}")
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
        "question",
    )

    def __init__(
        self,
        *,
        processor: QueryProcessor,
        application: ApplicationSpec,
        context: str,
        arrived: float,
        deadline: float,
        choice: Choice,
        traced: bool,
    ) -> None:
        self._processor = processor
        self._stats: ApplicationStats = processor.metrics.of_application(application.name)
        self.application = application
        self.context = context
        self.arrived = arrived
        self.deadline = deadline
        self.choice = choice
        self.begun = monotonic() if traced else 0.0
        self.question = Question(calls=len(choice.selection.arms), traced=traced)

    async def settled(self) -> None:
        """Wait until every arm has answered or the deadline has passed."""
        if not self.question.answered:
            await self.question.settled(seconds=self.deadline - monotonic())

    def prediction(self) -> Prediction:
        """Combine what arrived. Raises where nothing did and there is no default output."""
        settled_at = monotonic() if self.question.traces is not None else 0.0
        outputs = _outputs(self.choice.selection.arms, self.question.outcomes)
        output, confidence, shortfall = self._output(outputs)
        if shortfall is not None:
            self._stats.count(shortfall.counter)
            if self.application.default_output is None:
                self._stats.errors += 1
                raise self._error(shortfall.explanation)
            output = self.application.default_output
        seconds = monotonic() - self.arrived
        self._stats.record(
            seconds=seconds, default=shortfall is not None, slo_ms=self.application.slo_ms
        )
        return Prediction(
            query_id=self._receipt(outputs),
            output=output,
            confidence=confidence,
            models=outputs,
            latency_ms=seconds * 1e3,
            default_explanation=None if shortfall is None else shortfall.explanation,
            breakdown=self._breakdown(settled_at=settled_at),
        )

    def _breakdown(self, *, settled_at: float) -> dict[str, Any] | None:
        """Say where the time went, where the caller asked for it."""
        traces = self.question.traces
        if traces is None:
            return None
        return breakdown(
            arms=self.choice.selection.arms,
            outcomes=self.question.outcomes,
            traces=traces,
            objective_ms=self.application.slo_ms,
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
        outcomes = [outcome for outcome in self.question.outcomes if outcome is not None]
        for outcome in outcomes:
            if outcome.status == Status.INVALID_INPUT:
                self._stats.errors += 1
                raise InvalidInput(f"input: {_text(outcome)}")
        for outcome in outcomes:
            if outcome.status == Status.MODEL_FAILED:
                return Shortfall("failed", f"the model failed: {_text(outcome)}")
        targets, connected = self.choice.targets, self._processor.engine.connected
        if not any(connected(targets[arm].version.id) for arm in self.choice.selection.arms):
            return Shortfall("unconnected", NO_MODEL)
        if all(o is not None and o.status in REFUSED for o in self.question.outcomes):
            return Shortfall("overloaded", OVERLOADED)
        return Shortfall("timed_out", TOO_LATE)

    def _error(self, explanation: str) -> ClipperError:
        name = self.application.name
        if explanation == NO_MODEL:
            return NotReady(f"{name}: {explanation}, and there is no default output.")
        if explanation == OVERLOADED:
            return Saturated(
                f"{name}: {explanation}, and there is no default output.",
                retry_after_s=self._seconds_until_calm(),
            )
        if explanation == TOO_LATE:
            objective_ms = self.application.slo_ms
            return DeadlineExceeded(
                f"{name}: {explanation} of {objective_ms:g} ms, and there is no default output.",
                objective_ms=objective_ms,
            )
        return ModelFailed(f"{name}: {explanation}")

    def _seconds_until_calm(self) -> float:
        """Return when the arms asked should have answered all that waits for them now."""
        seconds_behind, targets = self._processor.engine.seconds_behind, self.choice.targets
        arms = self.choice.selection.arms
        return max((seconds_behind(targets[arm].version.id) for arm in arms), default=0.0)

    def _receipt(self, outputs: dict[str, bytes]) -> str:
        selection = self.choice.selection
        nonce = os.urandom(NONCE_BYTES)
        inline = fits_inline(outputs)
        if not inline:
            self._processor.outputs.keep(
                nonce, outputs=outputs, ttl_s=self.application.feedback_window_s
            )
            outputs = {}
        return self._processor.signer.sign(
            Receipt(
                nonce=nonce,
                issued_at_ms=int(time() * 1e3),
                application_id=self.application.id,
                context=self.context,
                arms=tuple(
                    ArmRecord(arm, propensity, outputs.get(arm))
                    for arm, propensity in zip(selection.arms, selection.propensities, strict=True)
                ),
                forced=self.choice.forced,
                stored=not inline,
            )
        )


def _outputs(names: tuple[str, ...], outcomes: list[Outcome | None]) -> dict[str, bytes]:
    return {
        name: outcome.payload
        for name, outcome in zip(names, outcomes, strict=True)
        if outcome is not None and outcome.status == Status.OK
    }


def _text(outcome: Outcome) -> str:
    return outcome.payload.decode(errors="replace")
