"""The curves that are alike, a row each: what grows, what is asked, and what must hold of it."""

import random
from collections.abc import Iterable, Sequence
from itertools import product

from benchmarks.experiment import Session
from benchmarks.frames import Frame
from benchmarks.growth import contexts, stacks
from benchmarks.growth.curve import (
    CONNECTIONS,
    Asked,
    Curve,
    Groups,
    Pair,
    added,
    bend,
    by_size,
    slope,
)
from benchmarks.linear import written
from benchmarks.servers import waited_for
from benchmarks.stack import Stack
from benchmarks.telling import Target

ONE, ALL, LENGTHS = "one is asked", "all are asked", "all, with bodies of 16 lengths"
ALL_ARMS, STRINGS, ARRAYS = "all arms are asked", "a string", "numbers"
REPLICATED = "replicated"
# Few, as all of them together are in memory several times at the largest size.
BODY_CONNECTIONS = 16
KIB = 1 << 10
SCALED_SECONDS = 60.0
# Where a line is looked at for a bend, and how much steeper it may be beyond. A body beyond the
# processor's caches costs more a byte than one within.
ARMS_MIDDLE, ARMS_BEND = 4, 1.3
BODY_MIDDLE, BODY_BEND = 64, 2.0
# All arms are to answer in time, with sixteen replicas on the same cores.
ARMS_SLO_MS = 500.0


def asked(stack: Stack, application: str = stacks.MODEL) -> Asked:
    """The plain question."""
    return _asked(stack, application, "small", [stacks.question()])


def _asked(
    stack: Stack, application: str, name: str, lines: Iterable[str], connections: int = CONNECTIONS
) -> Asked:
    """The same questions in every round; the counter makes them new ones."""
    file = written(stack.folder / f"{name}.txt", lines)
    return Asked(
        stack=stack, application=application, bodies=lambda number: file, connections=connections
    )


def _applications(session: Session, sizes: Sequence[int]) -> Groups:
    small, grown = stacks.pair(session)
    for size in sizes:
        stacks.grow(grown, applications=size)
        # With one application there is but one way to ask.
        yield [
            Pair(
                series=series,
                size=size,
                here=_spread(grown, series=series, size=size),
                beside=_spread(small, series=LENGTHS if series == LENGTHS else ONE, size=1),
            )
            for series in ((ONE, ALL, LENGTHS) if size > 1 else (ONE,))
        ]


def _spread(stack: Stack, *, series: str, size: int) -> Asked:
    """A line for each path and length, in random order."""
    names = stacks.application_names(1 if series == ONE else size)
    # A client whose inputs are of many lengths sends a head for each of them.
    lengths = range(stacks.NUMBERS, stacks.NUMBERS + (16 if series == LENGTHS else 1))
    lines = [
        f"/api/v1/applications/{name}/predict {stacks.question(numbers=count)}"
        for name, count in product(names, lengths)
    ]
    random.Random(1).shuffle(lines)
    return _asked(stack, stacks.MODEL, f"applications-{len(names)}-{len(lengths)}", lines)


def _replicas(session: Session, sizes: Sequence[int]) -> Groups:
    stack = stacks.alone(session)
    stacks.publish(stack, REPLICATED)
    stacks.route(stack, REPLICATED, REPLICATED)
    for size in sizes:
        _scale(stack, replicas=size)
        yield [Pair(series=ONE, size=size, here=asked(stack, REPLICATED), beside=asked(stack))]
    _scale(stack, replicas=1)


def _scale(stack: Stack, *, replicas: int) -> None:
    stack.scale(REPLICATED, replicas=replicas)
    waited_for(
        lambda: sum(one["model"] == REPLICATED for one in stack.replicas()) == replicas,
        seconds=SCALED_SECONDS,
        what=f"{replicas} replicas",
    )
    stack.look()


def _bodies(session: Session, sizes: Sequence[int]) -> Groups:
    stack = stacks.alone(session)
    kinds = {
        STRINGS: ("texts", "strings", stacks.text),
        ARRAYS: ("arrays", "doubles", stacks.array),
    }
    for model, kind, body in kinds.values():
        stacks.publish(stack, model, input_type=kind)
        first = {"body": body(sizes[0]).encode(), "slo_ms": stacks.PATIENT_MS}
        stacks.route(stack, model, model, input_type=kind, **first)

    def of_size(series: str, size: int) -> Asked:
        model, _, body = kinds[series]
        return _asked(stack, model, f"{model}-{size}", [body(size)], BODY_CONNECTIONS)

    beside = of_size(STRINGS, sizes[0])
    yield [
        Pair(series=series, size=size, here=of_size(series, size), beside=beside)
        for size in sizes
        for series in kinds
    ]


def _arms(session: Session, sizes: Sequence[int]) -> Groups:
    stack = stacks.alone(session)
    models = [f"arm-{number}" for number in range(1, max(sizes) + 1)]
    stacks.publish(stack, *models)
    for size in sizes:
        stacks.route(stack, f"arms-{size}", *models[:size], policy="exp4", slo_ms=ARMS_SLO_MS)
    beside = asked(stack, "arms-1")
    yield [
        Pair(series=ALL_ARMS, size=size, here=asked(stack, f"arms-{size}"), beside=beside)
        for size in sizes
    ]


def _arms_targets(result: Frame) -> list[Target]:
    points = added(result, ALL_ARMS)
    bent, one = bend(points, at=ARMS_MIDDLE), by_size(result, "us")[ALL_ARMS].iloc[0]
    what = f"CPU of one more arm, {ARMS_MIDDLE} to {points[-1][0]:g} : 1 to {ARMS_MIDDLE}"
    each = slope(points) / one
    return [
        Target(what, bent, f"≤ {ARMS_BEND:g}"),
        Target("CPU of one more arm : of a whole query to one", each, "≤ 1"),
    ]


def _body_targets(result: Frame) -> list[Target]:
    what = "CPU of one more KiB, 64 KiB to 1 MiB : up to 64 KiB"
    series = {name: added(result, name, unit=KIB) for name in by_size(result, "us")}
    return [
        Target(f"{what}, {name}", bend(points, at=BODY_MIDDLE), f"≤ {BODY_BEND:g}")
        for name, points in series.items()
    ]


# In this order: the contexts leave much behind.
CURVES = (
    # The size of the registry must not matter. Where all are asked it isn't only the registry that
    # is larger: each has counts to publish, and learned state to bring up to date five times a
    # second.
    Curve(
        "applications", "Applications registered",
        "Each has a route to the same model. Yardstick: a stack beside it that has one.",
        (1, 20, 200), (1, 200), _applications, bounds={ONE: 1.15, ALL: 1.5, LENGTHS: 1.5},
    ),
    Curve(
        "body", "Bytes of the body",
        "The model ignores them. Yardstick: 64 bytes, in the same rounds.",
        (64, 1 << 10, 64 << 10, 256 << 10, 1 << 20), (64, 64 << 10, 1 << 20), _bodies,
        targets=_body_targets, of="bytes",
    ),
    # More replicas than cores: smaller batches, so more frames for as many queries.
    Curve(
        "replicas", "Replicas of the model that is asked",
        "Each is a process; all share the cores. Yardstick: a model with one, beside it.",
        (1, 2, 4, 8, 16), (1, 8), _replicas, bounds={ONE: 1.5},
    ),
    Curve(
        "arms", "Arms of an ensemble",
        "exp4 asks all of them. Yardstick: one arm, in the same rounds.",
        (1, 2, 4, 8, 16), (1, 4, 16), _arms, targets=_arms_targets, linear=True,
    ),
    Curve(
        "contexts", "Contexts that have learned something",
        f"{contexts.POLICY} with two arms; the context is drawn at random. "
        "Yardstick: a single context, in the same rounds.",
        contexts.SIZES, contexts.QUICK_SIZES, contexts.groups, targets=contexts.targets,
        facts=contexts.facts, redis=True,
    ),
)  # fmt: skip
