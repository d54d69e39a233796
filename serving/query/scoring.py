"""Scoring: many rows through the same arms, without draws, cache, receipts or learning.

A night's scoring doesn't change how queries are answered.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import NamedTuple

import msgspec

from core.errors import ClipperError, ModelFailed, NotReady
from core.loop.loop_slices import Slice
from core.specs import ApplicationSpec, VersionSpec
from selection.answers.combine import Fault, Objection, decide
from selection.policies import Selection
from serving.engine.gather import LAST_PRIORITY, Gather
from serving.engine.outcome import Outcome, Status
from serving.query.budget import ANSWER_TOO_LARGE, MAX_ANSWER_BYTES
from serving.query.fallback import NO_MODEL, error_for, why_default
from serving.query.large_batches import REFUSED_PAUSE_S, OpenRows, Rows, rows_open
from serving.query.prediction import NOBODY, Choice, forced_on
from serving.query.query import QueryResources, outputs_of

_OK, _SATURATED = Status.OK, Status.SATURATED


class Scored(NamedTuple):
    """Outputs in order, `null` for rows that failed, and the errors of those."""

    outputs: list[bytes]
    failed: dict[int, ClipperError]


def scoring_choice(
    resources: QueryResources,
    application: ApplicationSpec,
    *,
    context: str,
    version: VersionSpec | None,
) -> Choice:
    """Return the arms for every row: `version`, or all or the likeliest by the policy."""
    if version is not None:
        choice = forced_on(version)
    else:
        choice = _by_policy(resources, application, context=context)
    if not choice.is_connected(resources.engine):
        raise NotReady(f"{application.name}: {NO_MODEL}.")
    return choice


def _by_policy(resources: QueryResources, application: ApplicationSpec, *, context: str) -> Choice:
    arms = resources.router.arms(application)
    if not arms.weights:
        return NOBODY
    prepared = resources.store.peek(application, context=context, arms=arms.weights)
    selection = prepared.select(0.0)
    if len(selection.arms) == 1:
        chances = prepared.chances()
        likeliest = max(chances, key=chances.__getitem__)
        selection = Selection((likeliest,), (chances[likeliest],))
    return Choice(arms.targets, selection, prepared, False)


class Scoring:
    """Asks about rows a group at a time, and asks again about those that found no room.

    `check` raises for a row that can't be of the application's type.
    """

    def __init__(
        self,
        resources: QueryResources,
        application: ApplicationSpec,
        *,
        choice: Choice,
        rows: Sequence[bytes | msgspec.Raw],
        check: Callable[[bytes], None],
        within_s: float,
        slice: Slice,
    ) -> None:
        self._resources = resources
        self._application = application
        self._choice = choice
        self._arms = choice.selection.arms
        self._inputs = rows
        self._check = check
        self._within_s = within_s
        self._deadline = monotonic() + within_s
        options = resources.router.arms(application).options
        self._options = replace(options, priority=LAST_PRIORITY, cached=False)
        self._gathers: dict[int, Gather] = {}
        self._scored = Scored([b"null"] * len(rows), {})
        self._bytes = 0
        versions = [choice.targets[arm].version.id for arm in self._arms]
        # A row carries less than a query.
        room = partial(rows_open, resources.engine, versions, most=3072)
        self._rows = OpenRows(
            len(rows), ask=self._ask, end=self._end, room=room, slice=slice, group=32
        )

    async def answer(self) -> Scored:
        """Return what the rows come to; cancelled, abandon the rest."""
        await self._rows.answer()
        return self._scored

    def _ask(self, rows: Rows, settled: Callable[[], None]) -> Callable[[], None] | None:
        inputs: dict[int, bytes] = {}
        for row in rows:
            input = bytes(self._inputs[row])
            try:
                self._check(input)
            except ClipperError as error:
                self._scored.failed[row] = error
            else:
                inputs[row] = input
        if not inputs:
            return None
        rows[:] = inputs
        engine, arms = self._resources.engine, self._arms
        gather = Gather(calls=len(inputs) * len(arms))
        targets = [self._choice.targets[arm] for arm in arms]
        for place, input in enumerate(inputs.values()):
            engine.ask(
                gather,
                targets,
                input=input,
                deadline=self._deadline,
                options=self._options,
                first=place * len(arms),
            )
        self._gathers[rows[0]] = gather
        gather.when_settled(settled, seconds=self._deadline - monotonic())
        return gather.abandon

    def _end(self, rows: Rows) -> Rows:
        outcomes, count = self._gathers.pop(rows[0]).outcomes, len(self._arms)
        may_wait = monotonic() + REFUSED_PAUSE_S < self._deadline
        again: Rows = []
        for place, row in enumerate(rows):
            own = outcomes[place * count : (place + 1) * count]
            full = own[0] is not None and own[0].status == _SATURATED
            if full and may_wait and all(one and one.status == _SATURATED for one in own):
                again.append(row)
                continue
            try:
                output = self._decided(own)
                if self._bytes + len(output) > MAX_ANSWER_BYTES:
                    raise ModelFailed(ANSWER_TOO_LARGE)
            except ClipperError as error:
                self._scored.failed[row] = error
            else:
                self._bytes += len(output)
                self._scored.outputs[row] = output
        return again

    def _decided(self, outcomes: list[Outcome | None]) -> bytes:
        """Return the combined output; the default stands in for an unsure one, not a missing one.

        Raises what a query without default output would.
        """
        application, prepared = self._application, self._choice.prepared
        alone = len(outcomes) == 1 and prepared.record is None
        if alone and (first := outcomes[0]) is not None and first.status == _OK:
            return first.payload
        decided = decide(
            outputs_of(self._arms, outcomes),
            weights=prepared.weights,
            asked=self._arms,
            how=application.combine,
            threshold=application.confidence_threshold,
            default=application.default_output,
            averages=self._resources.averages,
            prepared=prepared,
        )
        if not isinstance(decided, Objection):
            return decided.output
        if decided.fault is Fault.UNSURE and application.default_output is not None:
            return application.default_output
        connected = partial(self._choice.is_connected, self._resources.engine)
        raise error_for(
            why_default(decided, outcomes, connected=connected),
            application=application,
            objective_ms=self._within_s * 1e3,
            seconds_until_calm=lambda: REFUSED_PAUSE_S,
        )
