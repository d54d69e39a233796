"""Figure 3: what a batch takes by its size, for five models, and the largest within 20 ms."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from statistics import median
from time import perf_counter

import msgspec
from matplotlib.axes import Axes

from benchmarks import charts
from benchmarks.command import Failed
from benchmarks.experiment import Experiment, Session, run_on_uvloop
from benchmarks.paper import models
from benchmarks.paper.calm_gc import calm_gc
from benchmarks.paper.containers import on_one_core, running_containers
from benchmarks.paper.published import PAPER, SLO_SECONDS
from benchmarks.quantiles import P99, Line, percentile, quantile_line
from benchmarks.targets import Target, at_least, number
from serving.rpc.connection import Connection, connect
from serving.rpc.errors import ConnectionLost
from serving.rpc.frames import AnswerStatus, Frame, FrameType, decode_answers, encode_predict

SLO = SLO_SECONDS
SIZES = tuple(2**power for power in range(13))
# Sizes that take far longer than the objective say nothing about it, and bend the line.
LONGEST = 3.0 * SLO
ROUNDS, WARM_UP = 4, 3
SPREAD = 50.0
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 60.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Each size of each model is asked for so many seconds, within these numbers of batches."""

    seconds: float
    fewest: int
    most: int
    names: tuple[str, ...] = tuple(models.TITLES)
    largest: int = SIZES[-1]


FULL = Plan(seconds=1.2, fewest=16, most=200)
QUICK = Plan(seconds=0.12, fewest=8, most=48)


class Point(msgspec.Struct, frozen=True, kw_only=True):
    size: int
    seconds: list[float]


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    points: list[Point]

    @property
    def line(self) -> Line:
        pairs = [(point.size, seconds) for point in self.points for seconds in point.seconds]
        return quantile_line([size for size, _ in pairs], [seconds for _, seconds in pairs])

    @property
    def largest(self) -> float:
        """The largest batch of which 99 in 100 take no longer than the objective."""
        return self.line.largest_within(SLO)


class Profiles(msgspec.Struct, frozen=True, kw_only=True):
    profiles: list[Profile]

    def largest(self, model: str) -> float:
        return next((p.largest for p in self.profiles if p.model == model), math.nan)


class Probe:
    """Sends one batch at a time to a container, without an engine in between."""

    def __init__(self) -> None:
        self._arrived: asyncio.Future[Frame] | None = None
        self._request = 0

    @asynccontextmanager
    async def connected(self, address: str) -> AsyncIterator[Probe]:
        self._connection = await connect(
            address, on_frame=self._on_frame, on_lost=self._on_lost, timeout=CONNECT_SECONDS
        )
        try:
            yield self
        finally:
            self._connection.close()

    async def seconds(self, inputs: Sequence[bytes]) -> float:
        """From encoding the batch to having its answers decoded, as a replica's owner sees it."""
        self._arrived = asyncio.get_running_loop().create_future()
        self._request += 1
        started = perf_counter()
        self._connection.send(encode_predict(self._request, inputs))
        async with asyncio.timeout(ANSWER_SECONDS):
            frame = await self._arrived
        answers, _ = decode_answers(frame.body)
        seconds = perf_counter() - started
        if any(answer.status is not AnswerStatus.OK for answer in answers):
            raise Failed(f"A model failed: {answers[0].payload.decode(errors='replace')}")
        return seconds

    def _on_frame(self, connection: Connection, frame: Frame) -> None:
        if frame.type is FrameType.ANSWER and self._arrived is not None:
            self._arrived.set_result(frame)

    def _on_lost(self, connection: Connection, error: ConnectionLost | None) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_exception(Failed(f"The container is gone: {error}"))


def measure(session: Session) -> Profiles:
    return profiles(session, plan=QUICK if session.quick else FULL)


def profiles(session: Session, *, plan: Plan) -> Profiles:
    found = []
    for name in plan.names:
        artifact = models.Zoo.of(session).artifact(name)
        with running_containers([artifact], folder=session.folder) as (container,), on_one_core():
            points = run_on_uvloop(_profile(container.address, plan=plan))
        profile = Profile(model=name, points=points)
        found.append(profile)
        session.say(
            f"  {models.TITLES[name]:16} {len(points)} sizes up to {points[-1].size}, "
            f"largest batch within {SLO * 1e3:g} ms: {profile.largest:,.0f}"
        )
    return Profiles(profiles=found)


async def _profile(address: str, *, plan: Plan) -> list[Point]:
    with calm_gc():
        async with Probe().connected(address) as probe:
            return await _measure_sizes(probe, plan=plan)


async def _measure_sizes(probe: Probe, *, plan: Plan) -> list[Point]:
    first = await _first_look(probe, largest=plan.largest)
    seconds: dict[int, list[float]] = {size: [] for size in first}
    # Several rounds: what disturbs the machine for a moment must not meet one size only.
    for _ in range(ROUNDS):
        for size, expected in first.items():
            count = min(plan.most, max(plan.fewest, int(plan.seconds / expected)))
            batch = models.questions(SIZES[-1])[:size]
            seconds[size] += [await probe.seconds(batch) for _ in range(-(-count // ROUNDS))]
    return [Point(size=size, seconds=seconds[size]) for size in first]


async def _first_look(probe: Probe, *, largest: int) -> dict[int, float]:
    """Warm up at each size that is worth measuring; return about what a batch of it takes."""
    found: dict[int, float] = {}
    for size in (size for size in SIZES if size <= largest):
        batch = models.questions(SIZES[-1])[:size]
        found[size] = min([await probe.seconds(batch) for _ in range(WARM_UP)])
        if 2 * found[size] > LONGEST:
            break
    return found


def targets(result: Profiles) -> list[Target]:
    linear, kernel = result.largest(models.LINEAR_SVM), result.largest(models.KERNEL_SVM)
    what = "largest batch within 20 ms, linear SVM : kernel SVM"
    return [at_least(what, linear / kernel, SPREAD, paper=f"{PAPER.fig3_spread}")]


def _draw_profile(axes: Axes, result: Profiles, *, place: int) -> None:
    if place >= len(result.profiles):
        return
    profile = result.profiles[place]
    sizes = [point.size for point in profile.points]
    p99 = [percentile(point.seconds, P99) * 1e3 for point in profile.points]
    medians = [median(point.seconds) * 1e3 for point in profile.points]
    line, largest = profile.line, profile.largest
    right = max(sizes[-1], largest) * 1.04
    ends = [line.at(0) * 1e3, line.at(right) * 1e3]
    axes.plot(sizes, medians, "o-", color=charts.BLUE, label="median")
    axes.plot(sizes, p99, "o", color=charts.ORANGE, label="P99")
    axes.plot([0, right], ends, color=charts.ORANGE, linewidth=1.2, label="P99 regression line")
    charts.limit(axes, SLO * 1e3)
    axes.plot([largest], [SLO * 1e3], "D", color=charts.LIMIT, markersize=5.5, zorder=3)
    charts.note(
        axes, f"{largest:,.0f}", (largest, SLO * 1e3), by=(-5, 6), ha="right",
        color=charts.LIMIT, fontweight="bold", fontsize=9.5,
    )  # fmt: skip
    axes.set(
        title=models.TITLES[profile.model], xlabel="batch size", ylabel="latency in ms",
        xlim=(0, right), ylim=(0, min(1.05 * max(p99, default=0), 66)),
    )  # fmt: skip
    axes.xaxis.set_major_locator(charts.few_ticks())


def _draw_rates(axes: Axes, result: Profiles) -> None:
    """Throughput at the largest batch, ours and as far as known the paper's."""
    ordered = sorted(result.profiles, key=lambda profile: profile.largest)
    for row, profile in enumerate(ordered):
        rate = profile.largest / SLO
        axes.barh(row, rate, height=0.42, color=charts.BLUE)
        charts.name_bar(axes, row, rate, text=number(rate))
        if paper := PAPER.fig3_rate.get(profile.model):
            axes.barh(row - 0.34, paper, height=0.18, color=charts.PAPER)
            charts.name_bar(axes, row - 0.34, paper, text=f"paper {number(paper)}", quiet=True)
    axes.set_yticks(range(len(ordered)), [models.TITLES[profile.model] for profile in ordered])
    axes.set(title="Throughput within 20 ms", xlabel="queries/s")
    charts.logarithmic(axes.xaxis)
    axes.set_xlim(left=50, right=max(p.largest for p in ordered) / SLO * 25)
    axes.grid(visible=False, axis="y")


FIG3 = Experiment(
    name="fig3",
    title="Figure 3: latency by batch size",
    workload="batches of 1, 2, 4, ... one after the other",
    systems=tuple(models.TITLES),
    result=Profiles,
    measure=measure,
    targets=targets,
    draw=charts.Chart(
        title="Latency of a batch by its size",
        subtitle="Real containers over a Unix socket, 784 numbers as JSON in each input, one core. "
        "Red: the objective of 20 ms, and the largest batch within it.",
        size=(11.0, 6.6),
        panels=(*(partial(_draw_profile, place=n) for n in range(len(models.TITLES))), _draw_rates),
        rows=2,
        legend=3,
    ),
)
