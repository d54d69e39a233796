"""Whatever the model, its objective and its callers are: what always holds."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.engine.gather import ORDINARY, CallOptions
from serving.engine.outcome import Status
from serving.testing import CallerReply, SimulatedModel, VirtualService, in_virtual_time

MODELS = st.builds(
    SimulatedModel,
    fixed=st.floats(0.0, 0.010),
    per_row=st.floats(0.0002, 0.005),
    noise=st.floats(0.0, 0.2),
)
# A single row takes a fifth of the shortest at most: with less, chance decides.
OBJECTIVES = st.floats(0.075, 0.2)


class Witnessed(VirtualService):
    """Notes every query that was refused at once though nothing was waiting or under way."""

    def __init__(self, *models: SimulatedModel, **settings: Any) -> None:
        super().__init__(*models, **settings)
        self.refused_idle = 0

    async def ask(self, *, options: CallOptions = ORDINARY) -> CallerReply:
        idle = any(replica.replica.load == 0 for replica in self.replicas)
        reply = await super().ask(options=options)
        if idle and reply.status == Status.OVERLOADED:
            self.refused_idle += 1
        return reply


@settings(max_examples=5, deadline=None, derandomize=True)
@given(MODELS, OBJECTIVES, st.floats(1.2, 5.0), st.integers(1, 3))
def test_whatever_is_offered_goodput_stays_and_everything_is_settled(
    model: SimulatedModel, objective: float, times: float, replicas: int
) -> None:
    overload(model, objective=objective, times=times, replicas=replicas)


@in_virtual_time
async def overload(model: SimulatedModel, *, objective: float, times: float, replicas: int) -> None:
    version = Witnessed(*[model] * replicas, objective=objective)
    capacity = await version.capacity(seconds=0.5)
    seen = await version.open(times * capacity, seconds=min(2.0, 1500.0 / (times * capacity)))
    assert seen.goodput >= 0.8 * capacity
    assert version.refused_idle == 0
    await asyncio.sleep(10.0)
    assert version.engine.waiting(1) == version.engine.in_flight(1) == 0
    assert all(reply.seconds <= version.answer_within + 1e-6 for reply in seen.replies)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(MODELS, OBJECTIVES, st.integers(1, 12))
def test_few_clients_are_always_answered(
    model: SimulatedModel, objective: float, clients: int
) -> None:
    attend(model, objective=objective, clients=clients)


@in_virtual_time
async def attend(model: SimulatedModel, *, objective: float, clients: int) -> None:
    """All of them together fit into one batch, and that takes a third of the objective."""
    version = Witnessed(model, objective=objective)
    fitting = int((0.3 * objective - model.fixed) / model.per_row)
    seen = await version.closed(max(1, min(clients, fitting)), seconds=1.0)
    assert seen.share_in_time >= 0.99
    assert version.refused_idle == 0
