"""The stacks of the curves: a small one, one whose registry grows, and what is put into both."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from benchmarks.experiment import Session
from benchmarks.growth import bodies
from benchmarks.stack import Stack, running_stack

MODEL = "growth"
# A loaded machine shows its load as latency and not as default answers. Longer ones let batches
# wait longer, and `PATIENT_MS` is for queries that take that long.
SLO_MS, PATIENT_MS = 100.0, 5_000.0
# Answers every input alike: what grows with the inputs is then the server's part.
CODE = b'''
class Predictor:
    def __init__(self, path):
        """There is nothing to load."""

    def pred_batch(self, inputs):
        return [1] * len(inputs)
'''
CHEAP: dict[str, Any] = {"artifact": CODE, "runtime": "python", "file": "model.py"}
SETTINGS = {
    # As many replicas as the largest curve wants, beside those of the demo.
    "CLIPPER_CPU_SLOTS": "32",
    # Versions that were replaced leave soon: they'd be replicas that nobody asks.
    "CLIPPER_WARM_SECONDS": "5",
    "CLIPPER_WEB_WORKERS": "1",
}
DEPLOYED_AT_ONCE = 4
SMALL, GROWN = "small", "grown"


@contextmanager
def started(name: str, *, session: Session, **settings: str) -> Iterator[Stack]:
    """Start a stack that answers `MODEL` for an application of the same name."""
    with running_stack(name, say=session.say, **(SETTINGS | settings)) as stack:
        publish(stack, MODEL)
        route(stack, MODEL)
        yield stack


def pair(session: Session) -> tuple[Stack, Stack]:
    """Two alike, of which only the second is ever made larger."""
    return _shared(SMALL, session), _shared(GROWN, session)


def alone(session: Session) -> Stack:
    """The small one, and no other beside it."""
    session.end(GROWN)
    return _shared(SMALL, session)


def _shared(name: str, session: Session) -> Stack:
    return session.shared(name, lambda: started(name, session=session))


def publish(stack: Stack, *models: str, input_type: str = "doubles") -> None:
    """Bring cheap models live, some at a time."""
    with ThreadPoolExecutor(DEPLOYED_AT_ONCE) as threads:
        list(threads.map(lambda name: stack.publish(name, input_type=input_type, **CHEAP), models))


def route(stack: Stack, application: str, *models: str, **fields: Any) -> None:
    """Create an application of these models; without names it asks the one that all share."""
    given: dict[str, Any] = {"slo_ms": SLO_MS, "body": bodies.body().encode()} | fields
    stack.route(application, *(models or (MODEL,)), **given)


def application_names(count: int) -> list[str]:
    """The first is the one that every stack begins with."""
    return [MODEL, *(f"{MODEL}-{number}" for number in range(2, count + 1))]


def grow(stack: Stack, *, applications: int = 1, models: int = 1) -> None:
    """Register until there are so many, the demo not counted. Nothing is ever taken away.

    Each application routes to the one model that is live; each model has a version and no replica.
    """
    for name in application_names(applications)[_registered(stack, kind="application") :]:
        stack.route(name, MODEL, slo_ms=SLO_MS)
    for name in application_names(models)[_registered(stack, kind="model") :]:
        stack.publish(name, live=False, **CHEAP)


def _registered(stack: Stack, *, kind: str) -> int:
    like = "name = ? OR name LIKE ?"
    return stack.in_database(
        f"SELECT count(*) FROM registry_{kind} WHERE {like}", MODEL, f"{MODEL}-%"
    )
