"""The curves that are alike, a row each: what grows, what is asked, and what must hold of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from benchmarks.experiment import Experiment, Session
from benchmarks.growth import bodies, contexts, results, stacks
from benchmarks.growth.results import Growth, bend, slope
from benchmarks.growth.rounds import Asked, Pair, always, growth
from benchmarks.stack import Stack
from benchmarks.targets import Target, at_most, number

Groups = Iterator[Sequence[Pair]]

ONE, ALL, LENGTHS = "one is asked", "all are asked", "all, with bodies of 16 lengths"
ALL_ARMS, STRINGS, ARRAYS = "all arms are asked", "a string", "numbers"
REPLICATED = "replicated"
# Few, as all of them together are in memory several times at the largest size.
BODY_CONNECTIONS = 16
KIB = 1 << 10
# Where a line is looked at for a bend, and how much steeper it may be beyond. A body beyond the
# processor's caches costs more a byte than one within.
ARMS_MIDDLE, ARMS_BEND = 4, 1.3
BODY_MIDDLE, BODY_BEND = 64, 2.0
# All arms are to answer in time, with sixteen replicas on the same cores.
ARMS_SLO_MS = 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How a query's cost grows with the number `of` something.

    `bounds` are what the ratio of each series' largest size may be; `targets` are more.
    """

    name: str
    of: str = ""
    heading: str
    subtitle: str | Callable[[Growth], str]
    beside: str
    sizes: tuple[int, ...]
    quick: tuple[int, ...]
    measure: Callable[[Session, Sequence[int]], Growth]
    bounds: Mapping[str, float] | None = None
    targets: Callable[[Growth], list[Target]] = lambda result: []
    bound: float | None = None
    linear: bool = False
    redis: bool = False

    @property
    def experiment(self) -> Experiment[Growth]:
        return Experiment(
            name=self.name,
            title=f"How the cost of a query grows with {self.heading[0].lower()}{self.heading[1:]}",
            workload="wrk, 64 connections, each query a new one",
            systems=("a stack where it grows", self.beside),
            result=Growth,
            measure=self._measure,
            targets=self._targets,
            draw=self._draw,
            table=partial(results.table, of=self.of or self.name, redis=self.redis),
        )

    def _measure(self, session: Session) -> Growth:
        return self.measure(session, self.quick if session.quick else self.sizes)

    def _targets(self, result: Growth) -> list[Target]:
        ratios: list[Target] = []
        if self.bounds is not None:
            ratios = results.ratios(result, of=self.of or self.name, bounds=self.bounds)
        return [*ratios, *self.targets(result), results.no_failures(result)]

    def _draw(self, result: Growth) -> Figure:
        return results.draw(
            result,
            title=self.heading,
            subtitle=self.subtitle if isinstance(self.subtitle, str) else self.subtitle(result),
            of=self.of or self.name,
            bound=next(iter(self.bounds.values())) if self.bounds else self.bound,
            linear=self.linear,
        )


def by(groups: Callable[[Session, Sequence[int]], Groups]) -> Callable[..., Growth]:
    """Measure the pairs that are handed out together in the same rounds.

    What hands them out makes the stacks larger in between.
    """
    return lambda session, sizes: growth(groups(session, sizes), session=session)


def asked(stack: Stack, application: str = stacks.MODEL) -> Asked:
    """The plain question."""
    file = bodies.written(stack.folder / "small.txt", [bodies.body()])
    return Asked(stack=stack, application=application, bodies=always(file))


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
    names = stacks.application_names(1 if series == ONE else size)
    lengths = bodies.LENGTHS if series == LENGTHS else (bodies.NUMBERS,)
    lines = bodies.spread([stack.path(name) for name in names], lengths=lengths)
    file = bodies.written(stack.folder / f"applications-{len(names)}-{len(lengths)}.txt", lines)
    return Asked(stack=stack, application=stacks.MODEL, bodies=always(file))


def _models(session: Session, sizes: Sequence[int]) -> Groups:
    small, grown = stacks.pair(session)
    for size in sizes:
        stacks.grow(grown, models=size)
        yield [Pair(series=ONE, size=size, here=asked(grown), beside=asked(small))]


def _webs(session: Session, sizes: Sequence[int]) -> Groups:
    """Every size is a stack of its own, beside the one that has one web process."""
    one = stacks.alone(session)
    for size in sizes:
        settings = {"CLIPPER_WEB_WORKERS": str(size)}
        with stacks.started(f"web processes: {size}", session=session, **settings) as many:
            yield [Pair(series=ONE, size=size, here=asked(many), beside=asked(one))]


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
    stack.wait_for_replicas(REPLICATED, count=replicas)


def _bodies(session: Session, sizes: Sequence[int]) -> Groups:
    stack = stacks.alone(session)
    kinds = (
        (STRINGS, "texts", "strings", bodies.text),
        (ARRAYS, "arrays", "doubles", bodies.array),
    )
    for _, model, input_type, body in kinds:
        stacks.publish(stack, model, input_type=input_type)
        first = body(sizes[0]).encode()
        stacks.route(
            stack, model, model, input_type=input_type, slo_ms=stacks.PATIENT_MS, body=first
        )

    def of_size(model: str, body: Callable[[int], str], size: int) -> Asked:
        file = bodies.written(stack.folder / f"{model}-{size}.txt", [body(size)])
        return Asked(
            stack=stack, application=model, bodies=always(file), connections=BODY_CONNECTIONS
        )

    beside = of_size("texts", bodies.text, sizes[0])
    yield [
        Pair(series=series, size=size, here=of_size(model, body, size), beside=beside)
        for size in sizes
        for series, model, _, body in kinds
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


def _arms_targets(result: Growth) -> list[Target]:
    series = result.named(ALL_ARMS)
    points = series.added()
    bent, each = bend(points, at=ARMS_MIDDLE), slope(points) / series.points[0].cost
    what = f"{ARMS_MIDDLE} to {points[-1][0]:g} : 1 to {ARMS_MIDDLE}"
    return [
        at_most(f"CPU of one more arm, {what}", bent, ARMS_BEND),
        at_most("CPU of one more arm : of a whole query to one", each, 1.0),
    ]


def _body_targets(result: Growth) -> list[Target]:
    what = "CPU of one more KiB, 64 KiB to 1 MiB : up to 64 KiB"
    return [
        at_most(f"{what}, {series.name}", bend(series.added(unit=KIB), at=BODY_MIDDLE), BODY_BEND)
        for series in result.series
    ]


# In this order: the first two need two stacks, and the contexts leave much behind.
CURVES = (
    Curve(
        name="applications",
        heading="Applications registered",
        subtitle="Each has a route to the same model. Yardstick: a stack beside it that has one.",
        beside="a stack with one application",
        sizes=(1, 10, 50, 200),
        quick=(1, 200),
        measure=by(_applications),
        # The size of the registry must not matter. Where all are asked it isn't only the registry
        # that is larger: each has counts to publish, and learned state to bring up to date five
        # times a second.
        bounds={ONE: 1.15, ALL: 1.5, LENGTHS: 1.5},
    ),
    Curve(
        name="models",
        heading="Models registered",
        subtitle="One of them is live and is asked. Yardstick: a stack beside it that has one.",
        beside="a stack with one model",
        sizes=(1, 10, 50, 200),
        quick=(200,),
        measure=by(_models),
        bounds={ONE: 1.15},
    ),
    Curve(
        name="web",
        of="web processes",
        heading="Web processes",
        subtitle="All share the cores with the replica and the load generator. "
        "Yardstick: a stack beside it with one.",
        beside="a stack with one web process",
        sizes=(1, 2, 4),
        quick=(2,),
        measure=by(_webs),
        # Each has batches and idle moments of its own, and they take the cores from each other.
        bounds={ONE: 1.75},
    ),
    Curve(
        name="body",
        of="bytes",
        heading="Bytes of the body",
        subtitle=lambda result: (
            "The model ignores them: "
            f"{number(slope(result.named(STRINGS).added(unit=KIB)))} µs a KiB of string. "
            "Yardstick: 64 bytes, in the same rounds."
        ),
        beside="64 bytes",
        sizes=(64, 1 << 10, 8 << 10, 64 << 10, 256 << 10, 1 << 20),
        quick=(64, 64 << 10, 1 << 20),
        measure=by(_bodies),
        targets=_body_targets,
    ),
    Curve(
        name="replicas",
        heading="Replicas of the model that is asked",
        subtitle="Each is a process; all share the cores. Yardstick: a model with one, beside it.",
        beside="a model with one replica",
        sizes=(1, 2, 4, 8, 16),
        quick=(1, 8),
        measure=by(_replicas),
        # More replicas than cores: smaller batches, so more frames for as many queries.
        bounds={ONE: 1.5},
    ),
    Curve(
        name="arms",
        heading="Arms of an ensemble",
        subtitle=lambda result: (
            "exp4 asks all of them: "
            f"{number(slope(result.named(ALL_ARMS).added()))} µs an arm. "
            "Yardstick: one arm, in the same rounds."
        ),
        beside="an application with one arm",
        sizes=(1, 2, 4, 8, 16),
        quick=(1, 4, 16),
        measure=by(_arms),
        targets=_arms_targets,
        linear=True,
    ),
    Curve(
        name="contexts",
        heading="Contexts that have learned something",
        subtitle=f"{contexts.POLICY} with two arms; the context is drawn at random. "
        "Yardstick: a single context, in the same rounds.",
        beside="a single context",
        sizes=contexts.SIZES,
        quick=contexts.QUICK_SIZES,
        measure=contexts.measure,
        targets=contexts.targets,
        bound=contexts.MISSES_AT_MOST,
        redis=True,
    ),
)
