"""Figure 3: what a batch takes by its size, for five models, and the largest within 20 ms."""

from __future__ import annotations

import math
from statistics import median

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import style
from benchmarks.figures.claims import Claim, number
from benchmarks.figures.experiment import Experiment, run_on_uvloop
from benchmarks.figures.quantiles import P99, Line, percentile, quantile_line
from benchmarks.paper import models, published
from benchmarks.paper.collector import calm_collector
from benchmarks.paper.containers import on_one_core, running_containers
from benchmarks.paper.probe import Probe, probing
from benchmarks.paper.session import Session

SLO = published.SLO_SECONDS
SIZES = tuple(2**power for power in range(13))
# Sizes that take far longer than the objective say nothing about it, and bend the line.
LONGEST = 3.0 * SLO
ROUNDS = 4
SPREAD = 50.0
WARM_UP = 3


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


def measure(session: Session) -> Profiles:
    return profiles(session, plan=QUICK if session.quick else FULL)


def profiles(session: Session, *, plan: Plan) -> Profiles:
    found = []
    for name in plan.names:
        artifact = session.zoo.artifact(name)
        with (
            running_containers(artifact, folder=session.folder) as (container,),
            on_one_core(),
        ):
            points = run_on_uvloop(_profile(container.address, plan=plan))
        profile = Profile(model=name, points=points)
        found.append(profile)
        session.say(
            f"  {models.TITLES[name]:16} {len(points)} sizes up to {points[-1].size}, "
            f"largest batch within {SLO * 1e3:g} ms: {profile.largest:,.0f}"
        )
    return Profiles(profiles=found)


async def _profile(address: str, *, plan: Plan) -> list[Point]:
    with calm_collector():
        async with probing(address) as probe:
            return await _measure_sizes(probe, plan=plan)


async def _measure_sizes(probe: Probe, *, plan: Plan) -> list[Point]:
    first = await _first_look(probe, largest=plan.largest)
    seconds: dict[int, list[float]] = {size: [] for size in first}
    # Several rounds: what disturbs the machine for a moment must not meet one size only.
    for _ in range(ROUNDS):
        for size, expected in first.items():
            count = min(plan.most, max(plan.fewest, int(plan.seconds / expected)))
            batch = models.questions(SIZES[-1])[:size]
            for _ in range(-(-count // ROUNDS)):
                seconds[size].append(await probe.seconds(batch))
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


def claims(result: Profiles) -> list[Claim]:
    linear, kernel = result.largest(models.LINEAR_SVM), result.largest(models.KERNEL_SVM)
    return [
        Claim(
            figure="fig3",
            what="largest batch within 20 ms, linear SVM : kernel SVM",
            seen=linear / kernel,
            at_least=SPREAD,
            paper=f"{published.FIG3_SPREAD}",
        )
    ]


def draw(result: Profiles) -> Figure:
    figure = style.styled(
        title="Latency of a batch by its size",
        subtitle="Real containers over a Unix socket, 784 numbers as JSON in each input, one core. "
        "Red: the objective of 20 ms, and the largest batch within it.",
        width=11.0,
        height=6.6,
    )
    axes = style.panels(figure, rows=2, columns=3)
    for panel, profile in zip(axes, result.profiles, strict=False):
        _draw_profile(panel, profile)
    style.legend(figure, axes[0], columns=3)
    _draw_rates(axes[5], result)
    return figure


def _draw_profile(axes: Axes, profile: Profile) -> None:
    sizes = [point.size for point in profile.points]
    p99 = [percentile(point.seconds, P99) * 1e3 for point in profile.points]
    medians = [median(point.seconds) * 1e3 for point in profile.points]
    line, largest = profile.line, profile.largest
    right = max(sizes[-1], largest) * 1.04
    axes.plot(sizes, medians, "o-", color=style.BLUE, label="median")
    axes.plot(sizes, p99, "o", color=style.ORANGE, label="P99")
    axes.plot(
        [0, right], [line.at(0) * 1e3, line.at(right) * 1e3],
        color=style.ORANGE, linewidth=1.2, label="P99 regression line",
    )  # fmt: skip
    style.limit(axes, SLO * 1e3, label="")
    axes.plot([largest], [SLO * 1e3], "D", color=style.LIMIT, markersize=5.5, zorder=3)
    axes.annotate(
        f"{largest:,.0f}", (largest, SLO * 1e3), xytext=(-5, 6), textcoords="offset points",
        ha="right", color=style.LIMIT, fontweight="bold", fontsize=9.5,
    )  # fmt: skip
    axes.set(
        title=models.TITLES[profile.model], xlabel="batch size", ylabel="latency in ms",
        xlim=(0, right), ylim=(0, min(1.05 * max(p99, default=0), 66)),
    )  # fmt: skip
    axes.xaxis.set_major_locator(style.few_ticks())


def _draw_rates(axes: Axes, result: Profiles) -> None:
    """Throughput at the largest batch, ours and as far as known the paper's."""
    ordered = sorted(result.profiles, key=lambda profile: profile.largest)
    for row, profile in enumerate(ordered):
        rate = profile.largest / SLO
        axes.barh(row, rate, height=0.42, color=style.BLUE)
        style.name_bar(axes, row, rate, text=number(rate))
        if paper := published.FIG3_RATE.get(profile.model):
            axes.barh(row - 0.34, paper, height=0.18, color=style.PAPER)
            style.name_bar(axes, row - 0.34, paper, text=f"paper {number(paper)}", quiet=True)
    axes.set_yticks(range(len(ordered)), [models.TITLES[profile.model] for profile in ordered])
    axes.set(title="Throughput within 20 ms", xlabel="queries/s")
    style.logarithmic(axes.xaxis)
    axes.set_xlim(left=50, right=max(p.largest for p in ordered) / SLO * 25)
    axes.grid(visible=False, axis="y")


FIG3 = Experiment(
    name="fig3",
    title="Figure 3: latency by batch size",
    result=Profiles,
    measure=measure,
    claims=claims,
    draw=draw,
)
