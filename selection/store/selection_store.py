"""The learned state of every application in Redis, with copies at hand for queries."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import islice
from typing import Any

from redis.asyncio import Redis

from core.log_once import LogOnce
from core.loop.background_tasks import end_tasks
from core.specs import ApplicationSpec
from selection.policies import Policy, Prepared, make_policy
from selection.policies.arithmetic.sums import State
from selection.policies.best_arm_proof import PROOF
from selection.reliability import EVERYTHING, Factors, Reliability
from selection.store.asks import Asks
from selection.store.input_samples import InputSamples
from selection.store.query_counts import QueryCounts
from selection.store.redis_keys import GLOBAL_CONTEXT, REDIS_ERRORS, redis_needed, state_key
from selection.store.scripts import Script, ScriptCall
from selection.store.state_record import StateRecord, describe, parse_record, prepared, promise_of

COPIES = 4096

# KEYS  states
# One reply: with one for each, a state takes 17 µs of this process rather than 7.
READ = Script("""
local read = {}
for i, key in ipairs(KEYS) do
  read[i] = redis.call('HGETALL', key)
end
return read
""")

logger = logging.getLogger(__name__)

Key = tuple[int, str]
NOTHING, NEVER = State(), float("-inf")


class _Copy:
    """The last known state of one context, and the policy applied to it for the last arms."""

    __slots__ = (
        *("application", "arms", "effective", "factors", "learned_at", "newcomer", "prepared"),
        *("reliability", "stale_at", "state"),
    )

    # One is made for each query whose context is new here: a dataclass takes five times as long.
    def __init__(self, reliability: Reliability) -> None:
        self.reliability = reliability
        self.state: State = NOTHING
        self.stale_at = self.learned_at = NEVER
        self.application: ApplicationSpec | None = None
        self.arms: Mapping[str, float] | None = None
        self.prepared: Prepared | None = None
        # That where arms don't answer reliably, by these factors; selection goes by it.
        self.factors: Factors = EVERYTHING
        self.effective: Prepared | None = None
        # In the global copy: the policy applied for a context that has learned nothing yet.
        self.newcomer: Prepared | None = None

    def forget_prepared(self) -> None:
        self.prepared = self.effective = self.newcomer = None


class SelectionStore:
    """Selection state by application and context. Made on the event loop that uses it.

    `arms` maps arms to the weights of their routes; the same object again saves comparing it.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        refresh_interval_s: float = 0.2,
        flush_interval_s: float = 1.0,
        copies: int = COPIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._refresh_interval = refresh_interval_s
        self._flush_interval = flush_interval_s
        self._capacity = copies
        self._clock = clock
        self._copies: OrderedDict[Key, _Copy] = OrderedDict()
        self._policies: dict[int, tuple[ApplicationSpec, Policy]] = {}
        # The keys of copies that are about to be read anew.
        self.to_read: dict[Key, None] = {}
        self._work = asyncio.Event()
        self._counts = QueryCounts(redis)
        self._asks = Asks(redis)
        self.input_samples = InputSamples(redis)
        self._tasks: list[asyncio.Task[None]] = []
        self._log_once = LogOnce(
            logger,
            away="selection state can't be read, going on with the last copies",
            back="selection state can be read again",
        )

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._refresh_forever(), name="selection.refresh"),
            asyncio.create_task(self._flush_forever(), name="selection.flush"),
        ]

    async def stop(self) -> None:
        """End both tasks and add the last counts to Redis, if it answers."""
        await end_tasks(self._tasks)
        self._tasks = []
        await self._flush()

    @property
    def copies(self) -> int:
        """The number of copies at hand."""
        return len(self._copies)

    # --- the prediction path: never waits -------------------------------------------------

    def policy(self, application: ApplicationSpec) -> Policy:
        """Return the application's policy, made once for each version of its specification."""
        known = self._policies.get(application.id)
        if known is None or known[0] is not application:
            made = make_policy(application.policy, application.policy_params)
            known = self._policies[application.id] = (application, made)
        return known[1]

    def peek(
        self, application: ApplicationSpec, *, context: str, arms: Mapping[str, float]
    ) -> Prepared:
        """Return the policy applied to the last known state, and have that brought up to date."""
        key = (application.id, context)
        copy = self._copies.get(key)
        if copy is None:
            copy = self._remember(key)
        else:
            self._copies.move_to_end(key)
        if copy.stale_at <= self._clock():
            self._want(key)
        if (
            copy.prepared is None
            or copy.application is not application
            or (copy.arms is not arms and copy.arms != arms)
        ):
            copy.newcomer = None
            copy.prepared = self._prepare(copy, application, context=context, arms=arms)
            copy.application, copy.arms = application, arms
            copy.effective = None
        factors = copy.reliability.factors
        if copy.effective is None or copy.factors is not factors:
            copy.effective = copy.prepared.reweighted(factors) if factors else copy.prepared
            copy.factors = factors
        return copy.effective

    def reliability(self, application: ApplicationSpec) -> Reliability:
        """Return what is known of how reliably the application's arms answer, to add to it."""
        return self._asks.known[application.id]

    def count_queries(
        self, application: ApplicationSpec, *, context: str, arms: tuple[str, ...]
    ) -> None:
        """Count that one query asked these arms; Redis learns of it within a second or so."""
        self._counts.add((application.id, application.context_ttl_s, context, arms), 1)

    def _prepare(
        self, copy: _Copy, application: ApplicationSpec, *, context: str, arms: Mapping[str, float]
    ) -> Prepared:
        policy, promise = self.policy(application), promise_of(application)
        if context == GLOBAL_CONTEXT:
            return prepared(policy, copy.state, arms, promise=promise)
        self.peek(application, context=GLOBAL_CONTEXT, arms=arms)
        general = self._copies[application.id, GLOBAL_CONTEXT]
        if copy.state.sums and any(arm in copy.state.of(policy.statistic) for arm in arms):
            return prepared(policy, copy.state, arms, general=general.state, promise=promise)
        # Contexts that have learned nothing share one.
        if general.newcomer is None:
            general.newcomer = prepared(
                policy, NOTHING, arms, general=general.state, promise=promise
            )
        return general.newcomer

    def _remember(self, key: Key) -> _Copy:
        copy = self._copies[key] = _Copy(self._asks.known[key[0]])
        while len(self._copies) > self._capacity:
            self._copies.popitem(last=False)
        return copy

    def _want(self, key: Key) -> None:
        if len(self.to_read) < 1024 and key not in self.to_read:
            self.to_read[key] = None
            if key[1] != GLOBAL_CONTEXT:
                self.to_read[key[0], GLOBAL_CONTEXT] = None
            self._work.set()

    # --- behind it: refresh and flush -----------------------------------------------------

    async def _refresh_forever(self) -> None:
        while True:
            await self._work.wait()
            # Reading 64 contexts a round bounds the time that new contexts take on the loop.
            await self.refresh(list(islice(self.to_read, 64)))
            if not self.to_read:
                self._work.clear()
            await asyncio.sleep(0.01)

    async def refresh(self, keys: Sequence[Key]) -> None:
        """Read these copies anew, each known by its application's id and its context."""
        started = self._clock()
        try:
            async with asyncio.timeout(2.0):
                read = await self._read(keys, without=self._unused)
        except Exception as error:  # noqa: BLE001  (whatever stands there, others are to be read)
            self._log_once.began(error)
        else:
            self._log_once.ended()
            for key, stored in zip(keys, read, strict=True):
                copy = self._copies.get(key)
                # An update made here while the read was under way may be missing from it.
                if copy is not None and copy.learned_at < started:
                    copy.state = stored.state
                    copy.forget_prepared()
        for key in keys:
            self.to_read.pop(key, None)
            if key in self._copies:
                self._copies[key].stale_at = self._clock() + self._refresh_interval

    async def _read(
        self, keys: Sequence[Key], *, without: Callable[[int], Container[str]] = lambda _: ()
    ) -> list[StateRecord]:
        wanted = [state_key(application_id, context) for application_id, context in keys]
        [read] = await READ.run(self._redis, [ScriptCall(wanted, ())])
        return [
            parse_record(dict(zip(fields[::2], fields[1::2], strict=True)), without=without(id_))
            for (id_, _), fields in zip(keys, read, strict=True)
        ]

    def _unused(self, application_id: int) -> Container[str]:
        # The sums of a proof, of which there are many, unless the policy goes by them.
        known = self._policies.get(application_id)
        used = PROOF if known is None else known[1].statistics
        return [kind.name for kind in PROOF if kind not in used]

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(self._flush_interval)
            await self._flush()

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(2.0):
                await self._counts.flush()
                await self._asks.flush()
                await self.input_samples.flush()
        except REDIS_ERRORS as error:
            self._log_once.began(error)
        except Exception:
            logger.exception("counts of queries were not written, will try again")

    # --- for feedback and for people ------------------------------------------------------

    def learned(self, application_id: int, *, context: str, state: State) -> None:
        """Bring the copy up to date with what an observation has just made of some arms."""
        copy = self._copies.get((application_id, context))
        if copy is None:
            copy = self._remember((application_id, context))
        known = copy.state.sums
        copy.state = State(
            {**known, **{name: {**known.get(name, {}), **new} for name, new in state.sums.items()}}
        )
        copy.learned_at = self._clock()
        copy.stale_at = NEVER
        copy.forget_prepared()

    async def describe(
        self, application: ApplicationSpec, *, context: str, arms: Mapping[str, float]
    ) -> dict[str, Any]:
        """Return one context's state as the management API shows it, or raise `Unavailable`."""
        async with redis_needed():
            await self._counts.flush()
            await self._asks.flush()
            own, general = await self._read(
                [(application.id, context), (application.id, GLOBAL_CONTEXT)]
            )
        # Milliseconds where there are many arms, which other queries shall not wait for.
        return await asyncio.to_thread(
            describe,
            application,
            self.policy(application),
            context=context,
            arms=arms,
            own=own,
            general=general,
            missed=dict(self._asks.known[application.id].missed),
        )
