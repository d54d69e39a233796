"""Two real replicas behind one application, of which one wants other inputs or is too slow."""

import asyncio
import threading
import time
import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier

from core.errors import ClipperError
from serving.container.predictor import Predictor
from serving.query.prediction import Prediction
from serving.rpc.frames.codec import Answer
from serving.rpc.frames.hello import Hello
from serving.testing import PlayedServing, application_spec, hello_of, routes_to, version_spec
from serving.web.links import ReplicaLinks
from tests.serving.cluster.samples import a_record
from tests.serving.container.artifacts import load_sklearn
from tests.serving.container.server.test_server import LOOPBACK, serving

LIMIT_S = 30.0
FEATURES = 64


class Slow:
    """Answers as another one, but takes its time."""

    def __init__(self, predictor: Predictor, *, seconds: float) -> None:
        self._predictor = predictor
        self._seconds = seconds

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        time.sleep(self._seconds)
        return list(self._predictor.answer_batch(inputs))


def trained(*, at: Path, features: int) -> Predictor:
    images, labels = load_digits(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = RidgeClassifier().fit(images[:, :features], labels)
    return load_sklearn(model, at=at)


@contextmanager
def running(predictor: object, *, hello: Hello) -> Iterator[str]:
    """A replica with a loop of its own, which its model may hold up; yields its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def enter(stack: AsyncExitStack) -> str:
        server = await stack.enter_async_context(serving(predictor, hello=hello, listen=LOOPBACK))
        return server.address

    stack = AsyncExitStack()
    try:
        yield asyncio.run_coroutine_threadsafe(enter(stack), loop).result(LIMIT_S)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(LIMIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT_S)
        loop.close()


@asynccontextmanager
async def behind(first: object, second: object, **changes: object) -> AsyncIterator[PlayedServing]:
    """An application that asks either of two replicas, over real sockets."""
    it = PlayedServing(application_spec(policy="exp3", routes=routes_to(1, 2), **changes))
    both = asyncio.Event()

    def changed() -> None:
        if all(it.engine.connected(number) for number in (1, 2)):
            both.set()

    links = ReplicaLinks(it.engine, credentials=LOOPBACK.credentials, on_change=changed)
    async with AsyncExitStack() as stack:
        records = []
        for number, predictor in enumerate((first, second), start=1):
            hello = hello_of(version_spec(number), replica=f"r{number}")
            address = stack.enter_context(running(predictor, hello=hello))
            served = {"model": hello.model, "version_id": number, "generation": 1}
            records.append(a_record(hello.replica, address=address, version="1", **served))
        stack.push_async_callback(links.close)
        links.sync(records)
        await asyncio.wait_for(both.wait(), LIMIT_S)
        yield it
        it.engine.close()


async def ended(it: PlayedServing, count: int) -> list[Prediction | ClipperError]:
    images, _ = load_digits(return_X_y=True)
    results: list[Prediction | ClipperError] = []
    for image in images[:count]:
        query = it.begin(input=repr(np.asarray(image).tolist()).encode(), arrived=monotonic())
        await query.settled()
        try:
            results.append(query.prediction())
        except ClipperError as error:
            results.append(error)
    return results


def trust(it: PlayedServing, arm: str) -> float:
    arms = it.router.arms(it.application).weights
    selected = it.processor.resources.store.peek(it.application, context="", arms=arms)
    return max(selected.weights[arm], selected.probabilities[arm])


async def test_a_version_that_wants_fewer_features_than_clients_send_is_overruled_and_left(
    tmp_path: Path,
) -> None:
    narrow = trained(at=tmp_path / "narrow", features=32)
    wide = trained(at=tmp_path / "wide", features=FEATURES)
    async with behind(narrow, wide, slo_ms=5000.0, default_output=None) as it:
        results = await ended(it, 200)
        assert [type(result) for result in results] == [Prediction] * 200
        assert trust(it, "m1:1") < 0.1
        assert it.metrics.of_application("digits").errors == 0
        counts = it.metrics.of_application("digits").arms()
        assert counts["m1:1"]["refused"] == counts["m1:1"]["asked"] > 0
        assert counts["m2:1"]["answered"] == 200


async def test_a_version_that_is_slower_than_the_objective_is_left_without_any_feedback(
    tmp_path: Path,
) -> None:
    slow = Slow(trained(at=tmp_path / "slow", features=FEATURES), seconds=0.6)
    quick = trained(at=tmp_path / "quick", features=FEATURES)
    async with behind(slow, quick, slo_ms=200.0, default_output=None) as it:
        results = await ended(it, 120)
        assert any(isinstance(result, Prediction) for result in results)
        assert trust(it, "m1:1") < 0.1
        stats = it.metrics.of_application("digits")
        failed = sum(isinstance(result, ClipperError) for result in results)
        assert stats.errors == failed == stats.timed_out + stats.overloaded
