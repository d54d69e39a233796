"""Doubles of the slow and the far parts, for tests of this project and of what is built on it.

A replica is played: `connect` gives an engine one, whose `batches` a test answers.

    engine = Engine(EngineSpec())
    engine.expect([1])
    replica = connect(engine)
    question = ask(engine, b"[1.0]")
    await turn()
    replica.answer({b"[1.0]": b"7"})
    assert question.outcomes[0].payload == b"7"

Around it: `PlayedServing` answers whole queries of an application, whatever its policy;
`VirtualService` puts a load on the real engine in virtual time, the same one every time; and
`Simulation` shows in a moment what a batch controller makes of a model. `version_spec`,
`application_spec` and `snapshot_of` build what the registry would tell, and `registry_of` has it
read. `AdjustableClock` is an engine's clock that can be put forward.

Nothing here needs pytest, a database, Redis or a process beside.
"""

from serving.testing.asking import (
    VERSION,
    ask,
    batch_by,
    cache_key,
    new_call,
    teach,
    trace_of,
    turn,
)
from serving.testing.clock import AdjustableClock, VirtualLoop, in_virtual_time
from serving.testing.load import CallerReply, Replies, VirtualReplica, VirtualService
from serving.testing.queries import PlayedServing
from serving.testing.registry import registry_of
from serving.testing.replica import PlayedReplica, connect
from serving.testing.simulation import Measured, SimulatedModel, Simulation
from serving.testing.specs import (
    application_spec,
    hello_of,
    key_spec,
    routes_to,
    snapshot_of,
    version_spec,
)

__all__ = [
    "VERSION",
    "AdjustableClock",
    "CallerReply",
    "Measured",
    "PlayedReplica",
    "PlayedServing",
    "Replies",
    "SimulatedModel",
    "Simulation",
    "VirtualLoop",
    "VirtualReplica",
    "VirtualService",
    "application_spec",
    "ask",
    "batch_by",
    "cache_key",
    "connect",
    "hello_of",
    "in_virtual_time",
    "key_spec",
    "new_call",
    "registry_of",
    "routes_to",
    "snapshot_of",
    "teach",
    "trace_of",
    "turn",
    "version_spec",
]
