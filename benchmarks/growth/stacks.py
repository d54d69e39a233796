"""The stacks of the curves, what is put into them, and the questions that they are asked."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from benchmarks.experiment import Session
from benchmarks.stack import Stack, running_stack
from benchmarks.wrk import COUNTER

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
NUMBERS, NUMBER = 8, "0.12345"


@contextmanager
def started(name: str, *, session: Session, **settings: str) -> Iterator[Stack]:
    """Start a stack that answers `MODEL` for an application of the same name."""
    with running_stack(name, say=session.say, **(SETTINGS | settings)) as stack:
        publish(stack, MODEL)
        route(stack, MODEL)
        yield stack


def pair(session: Session) -> tuple[Stack, Stack]:
    """Two alike, of which only the second is ever made larger."""
    small = session.shared(SMALL, lambda: started(SMALL, session=session))
    return small, session.shared(GROWN, lambda: started(GROWN, session=session))


def alone(session: Session) -> Stack:
    """The small one, and no other beside it."""
    session.end(GROWN)
    return session.shared(SMALL, lambda: started(SMALL, session=session))


def publish(stack: Stack, *models: str, input_type: str = "doubles") -> None:
    """Bring cheap models live, some at a time."""
    with ThreadPoolExecutor(DEPLOYED_AT_ONCE) as threads:
        list(threads.map(lambda name: stack.publish(name, input_type=input_type, **CHEAP), models))


def route(stack: Stack, application: str, *models: str, **fields: Any) -> None:
    """Create an application of these models; without names it asks the one that all share."""
    given: dict[str, Any] = {"slo_ms": SLO_MS, "body": question().encode()} | fields
    stack.route(application, *(models or (MODEL,)), **given)


def application_names(count: int) -> list[str]:
    """The first is the one that every stack begins with."""
    return [MODEL, *(f"{MODEL}-{number}" for number in range(2, count + 1))]


def grow(stack: Stack, *, applications: int = 1, models: int = 1) -> None:
    """Register until there are so many, the demo not counted. Nothing is ever taken away. Each
    application routes to the one model that is live; each model has a version and no replica.
    """
    counted = "SELECT count(*) FROM registry_{} WHERE name = ? OR name LIKE ?"
    there = {
        kind: stack.in_database(counted.format(kind), MODEL, f"{MODEL}-%")
        for kind in ("application", "model")
    }
    for name in application_names(applications)[there["application"] :]:
        stack.route(name, MODEL, slo_ms=SLO_MS)
    for name in application_names(models)[there["model"] :]:
        stack.publish(name, live=False, **CHEAP)


def question(*, numbers: int = NUMBERS, context: str | None = None) -> str:
    """Return the JSON of a question that the load generator's counter makes a new one."""
    given = ",".join([COUNTER, *[NUMBER] * (numbers - 1)])
    of = "" if context is None else f',"context":"{context}"'
    return f'{{"input":[{given}]{of}}}'


def text(size: int) -> str:
    """Return a question of exactly so many bytes whose input is one string."""
    head, tail = f'{{"input":"{COUNTER}', '"}'
    return f"{head}{'x' * (size - len(head) - len(tail))}{tail}"


def array(size: int) -> str:
    """Return a question of about so many bytes whose input is numbers."""
    around = len(question(numbers=1))
    return question(numbers=1 + max(0, size - around) // (len(NUMBER) + 1))
