"""Begins queries by their application's policy (§5)."""

from random import random
from time import monotonic

from core.errors import InvalidInput
from core.specs import ApplicationSpec, VersionSpec
from selection.policies.arithmetic.assignment import is_held_out
from selection.policies.arithmetic.features import Features
from serving.engine.gather import Gather
from serving.engine.outcome import Status
from serving.query.budget import seconds_to_answer
from serving.query.fallback import text_of
from serving.query.large_batches import Allowance
from serving.query.prediction import NOBODY, Choice, forced_on
from serving.query.query import Query, QueryResources, outputs_of
from serving.query.rollouts.canaries import Draw, drawn
from serving.query.routing import Arms


class QueryProcessor:
    """Ties selection to the engine. `begin` is synchronous; only `Query.settled` waits."""

    def __init__(self, resources: QueryResources) -> None:
        self.resources = resources

    def features_of(
        self,
        application: ApplicationSpec,
        given: Features,
        *,
        version: VersionSpec | None = None,
    ) -> tuple[float, ...]:
        """Return the features encoded for the policy; a query of one `version` needs none.

        Raises BadRequest if the policy expects others.
        """
        if given or version is None:
            return self.resources.store.policy(application).encode(given)
        return ()

    def begin(
        self,
        application: ApplicationSpec,
        *,
        input: bytes,
        arrived: float,
        context: str = "",
        key: str = "",
        features: tuple[float, ...] | None = None,
        version: VersionSpec | None = None,
        timeout_ms: float | None = None,
        traced: bool = False,
        allowance: Allowance | None = None,
        trial: bool = False,
    ) -> Query:
        """Ask the arms that the policy selects, or just `version`, about `input` (JSON text).

        `arrived` is on the monotonic clock and starts the objective, which `timeout_ms` may
        shorten; an `allowance` replaces both. A `traced` query can be explained. A `key` stays with
        one arm while the chances last; `features` come from `features_of`. A `trial` leaves no
        trace in counts, evidence or captured inputs.
        """
        resources = self.resources
        arms = resources.router.arms(application)
        if features is None:
            features = self.features_of(application, (), version=version)
        if version is not None:
            choice = forced_on(version)
        elif arms.weights:
            choice = self._choice(
                application, arms, context=context, key=key, features=features, counted=not trial
            )
        else:
            choice = NOBODY
        objective_ms, deadline, options = application.slo_ms, arrived + arms.within_s, arms.options
        hurried = False
        if allowance is not None:
            objective_ms, deadline, options = allowance
            hurried = True  # it waits behind everybody else
        elif timeout_ms is not None and timeout_ms < objective_ms:
            deadline, hurried = arrived + seconds_to_answer(timeout_ms), True
        # By position: names would cost 0.4 µs.
        query = Query(
            resources,
            application,
            choice,
            input,
            hurried,
            options,
            context,
            key,
            features,
            arrived,
            objective_ms,
            deadline,
            traced,
            trial,
        )
        resources.engine.ask(
            query.gather,
            map(choice.targets.__getitem__, query.arms),
            input=input,
            deadline=deadline,
            options=options,
        )
        if arms.canaries and version is None and not (trial or hurried):
            query.shadows = resources.shadows.begin(
                application,
                arms.canaries,
                arms=query.arms,
                targets=choice.targets,
                input=input,
                now=monotonic(),
            )
        return query

    def _choice(
        self,
        application: ApplicationSpec,
        arms: Arms,
        *,
        context: str,
        key: str,
        features: tuple[float, ...],
        counted: bool,
    ) -> Choice:
        store = self.resources.store
        prepared = arms.held_out
        held_out = prepared is not None and is_held_out(
            key or context, application_id=application.id, share=application.holdout_share
        )
        if prepared is None or not held_out:
            prepared = store.peek(application, context=context, arms=arms.weights)
        elif factors := store.reliability(application).factors:
            prepared = prepared.reweighted(factors)
        uniform = random()  # noqa: S311
        sticky = held_out or (context and store.policy(application).sticky)
        kept = key or (context if sticky else "")
        if kept:
            kept = f"{application.id}:{kept}"
            selection = prepared.assigned(kept, uniform=uniform, features=features)
        else:
            selection = prepared.select(uniform, features)
        if counted:
            store.count_queries(application, context=context, arms=selection.arms)
        draws: tuple[Draw, ...] = ()
        if arms.canaries and counted:
            selection, draws = drawn(
                selection,
                arms.canaries,
                person=kept,
                uniform=random(),  # noqa: S311
            )
        return Choice(arms.targets, selection, prepared, False, held_out, draws)

    async def answers_of_all_arms(
        self, application: ApplicationSpec, input: bytes
    ) -> dict[str, bytes]:
        """Return every arm's output for `input`, for feedback without a receipt."""
        engine, arms = self.resources.engine, self.resources.router.arms(application)
        targets = {name: arms.targets[name] for name in arms.weights}
        names = tuple(targets)
        gather = Gather(calls=len(names))
        seconds = max(1.0, application.slo_ms / 1e3)
        engine.ask(
            gather,
            targets.values(),
            input=input,
            deadline=monotonic() + seconds,
            options=arms.options,
        )
        await gather.settled(seconds=seconds)
        refusals = [o for o in gather.outcomes if o and o.status == Status.INVALID_INPUT]
        answers = outputs_of(names, gather.outcomes)
        if refusals and not answers:
            raise InvalidInput(f"input: {text_of(refusals[0])}")
        return answers
