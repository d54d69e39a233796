"""The doubles that are shipped do what their documentation shows."""

import asyncio
import re
import textwrap

import serving.testing
from serving.engine.engine import Engine, EngineSpec
from serving.engine.outcome import Outcome, Status
from serving.testing import AdjustableClock, PlayedServing, application_spec, ask, connect, turn
from tests.docs.documents import page


async def test_the_example_in_the_docstring_runs() -> None:
    (example,) = re.findall(r"\n\n((?:    .*\n)+)", serving.testing.__doc__ or "")
    code = f"async def example():\n{example}    return question\n"
    names = dict(vars(serving.testing)) | {"Engine": Engine, "EngineSpec": EngineSpec}
    exec(code, names)
    gather = await names["example"]()
    assert gather.outcomes == [Outcome(Status.OK, b"7")]


def test_the_controller_in_the_docs_finds_the_size_that_fills_its_budget() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", page("docs/explanation/batching.md"), re.DOTALL)
    names: dict[str, object] = {}
    exec(textwrap.dedent(example), names)
    measured = names["measured"]
    assert isinstance(measured, serving.testing.Measured)
    assert 170 <= measured.mean_size <= 195  # 0.001 + 0.0001 · 190 = 0.02


async def test_a_policy_is_seen_at_work_with_replicas_that_are_played() -> None:
    played = PlayedServing(application_spec(policy="exp3", policy_params={"eta": 0.5}))
    replicas = [connect(played.engine, version_id=n) for n in (1, 2, 3)]
    query = played.begin()
    await turn()
    (asked,) = (replica for replica in replicas if replica.batches)
    asked.answer({b"[1]": b"7"})
    prediction = query.prediction()
    assert prediction.output == b"7"
    assert played.signer.verify(prediction.query_id).arms[0].output == b"7"


async def test_an_engine_sees_time_pass_as_its_clock_is_moved() -> None:
    clock = AdjustableClock()
    engine = Engine(EngineSpec(), clock=clock)
    engine.expect([1])
    gather = ask(engine, b"[1]", seconds=60.0)
    engine.sweep()
    assert gather.outcomes == [None]
    clock.advance(61.0)
    engine.sweep()
    await asyncio.sleep(0)
    assert gather.outcomes[0] is not None
    assert gather.outcomes[0].status == Status.NOT_CONNECTED
