"""Ties selection to the engine: whom a query asks, by the policy, and on which terms (§5)."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from random import random
from time import monotonic

from registry.errors import InvalidInput
from registry.specs import ApplicationSpec, VersionSpec
from selection.averages import Averages
from selection.feedback.due import DueReceipts
from selection.outputs import OutputStore
from selection.receipts import ReceiptSigner
from selection.state import SelectionStore
from serving.allowances import Allowance
from serving.engine.engine import Engine
from serving.engine.outcome import Status
from serving.engine.questions import Question, Terms
from serving.metrics import Metrics
from serving.objectives import seconds_to_answer
from serving.prediction import NOBODY, Choice, forced_on
from serving.query import Query, outputs_of
from serving.routing import Router, Target
from serving.second_opinions import OpinionBound, SecondOpinion, drawn_other
from serving.shortfalls import text_of
from serving.turns import LargeBatches, Turns

# What feedback by input may take to get the arms' answers, where the objective is shorter.
FEEDBACK_OBJECTIVE_S = 1.0


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
        self._opinions: dict[int, OpinionBound] = {}

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
            deadline, hurried = arrived + seconds_to_answer(within_ms), within_ms < objective_ms
        else:
            objective_ms, deadline, terms = allowance
            hurried = True  # it waits behind everybody else
        query = Query(
            processor=self,
            application=application,
            input=input,
            hurried=hurried,
            terms=terms,
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
            return forced_on(version)
        arms = self.router.arms(application)
        if not arms.weights:
            return NOBODY
        prepared = self.store.peek(application, context=context, arms=arms.weights)
        if context and self.store.policy(application).sticky:
            key = f"{application.id}:{context}"
            selection = prepared.assigned(key, uniform=random())  # noqa: S311
        else:
            selection = prepared.select(random(), features)  # noqa: S311
        self.store.count_queries(application, context=context, arms=selection.arms)
        return Choice(arms.targets, selection, prepared, False)

    def ask_another(self, query: Query) -> SecondOpinion | None:
        """Ask another arm about an input that the one asked refuses; None where none can be."""
        application, choice = query.application, query.choice
        if choice.forced or len(query.arms) != 1 or len(choice.targets) == 1:
            return None
        targets, connected = choice.targets, self.engine.connected
        second = drawn_other(
            choice.prepared.chances(query.features),
            asked=query.arms[0],
            may_ask=lambda arm: connected(targets[arm].version.id),
        )
        if second is None or not self.opinions(application).take(queries=query.number):
            return None
        self.store.count_queries(application, context=query.context, arms=(second.arm,))
        self._ask(
            query.question,
            targets=targets,
            names=(second.arm,),
            input=query.input,
            by=query.deadline,
            terms=query.terms,
            first=query.question.ask_one_more(),
        )
        return second

    def opinions(self, application: ApplicationSpec) -> OpinionBound:
        """Return what is left to the application of second opinions."""
        bound = self._opinions.get(application.id)
        if bound is None:
            bound = self._opinions[application.id] = OpinionBound()
        return bound

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
        answers = outputs_of(names, question.outcomes)
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
        first: int = 0,
    ) -> None:
        digest = sha256(input).digest() if terms.cached else None
        ask = self.engine.ask
        for index, name in enumerate(names, start=first):
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
