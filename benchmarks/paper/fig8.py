"""Figure 8: the best of five models fails and is mended, and policies notice both."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from benchmarks import charts
from benchmarks.experiment import Experiment, Session
from benchmarks.learner import Learner
from benchmarks.paper.pictures import DIGITS, halves, noisy, varied
from benchmarks.targets import Target, at_most
from selection.policies import make_policy

POLICIES = ("exp3", "exp4")
TITLES = {"exp3": "Exp3, one model a query", "exp4": "Exp4, all models vote"}
NOISE, SHIFT, LEARNED_TIMES = 2.0, 1, 4
# Grey values out of 16 that come in between while the best model's input is broken.
BROKEN_NOISE = 12.0

# Each looks at the pictures through a worse lens, and so is wrong in about 8, 15, 20, 30, 40 %.
MODELS: dict[str, tuple[float, Callable[[], Any]]] = {
    "rbf-svm:1": (2.5, lambda: SVC(gamma=0.002)),
    "neighbours:1": (4.5, lambda: KNeighborsClassifier(5)),
    "cubic-svm:1": (3.5, lambda: SVC(kernel="poly", degree=3, gamma=0.001)),
    "gaussians:1": (
        4.4,
        lambda: make_pipeline(PCA(28), QuadraticDiscriminantAnalysis(reg_param=0.05)),
    ),
    "trees:1": (5.7, lambda: ExtraTreesClassifier(100, random_state=1)),
}
FAILING = "rbf-svm:1"
# Curves are made of means over so many queries.
STEP = 100
# After so many queries the failing model must have lost its place, or have it again.
LOST_WITHIN, LOST_SHARE = 1_000, 0.2
BACK_WITHIN, BACK_SHARE = 2_000, 0.5
# A crossing counts where it lasts so many steps in the mean: chance alone makes shares jump.
LASTING_STEPS = 5


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    seeds: int
    queries: int = 20_000
    fails: int = 5_000
    mended: int = 10_000


FULL, QUICK = Plan(seeds=10), Plan(seeds=2)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One policy, or one model alone, in one run: by steps of `STEP` queries.

    `errors` are shares of wrong answers; `share` what the failing model had of the queries, or of
    the weight where all are asked.
    """

    name: str
    seed: int
    errors: list[float]
    share: list[float] = msgspec.field(default_factory=list)

    @property
    def error(self) -> float:
        return sum(self.errors) / len(self.errors)

    @property
    def so_far(self) -> list[float]:
        """The share of wrong answers from the first query to the end of each step."""
        return [float(x) for x in np.cumsum(self.errors) / np.arange(1, len(self.errors) + 1)]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    plan: Plan
    runs: list[Run]

    def of(self, name: str) -> list[Run]:
        return [run for run in self.runs if run.name == name]

    def error(self, name: str) -> float:
        errors = [run.error for run in self.of(name)]
        return sum(errors) / len(errors)

    @property
    def best_model(self) -> str:
        return min(MODELS, key=self.error)

    def against_the_best(self, name: str) -> float:
        """The policy's error beside that of the best model of each run; the worst run's."""
        return max(
            run.error / min(one.error for model in MODELS for one in self.of(model)
                            if one.seed == run.seed)
            for run in self.of(name)
        )  # fmt: skip

    def queries_until_lost(self, name: str) -> float:
        """From the failure until the share stays below its bound; the worst run's."""
        return max(_until(run, self.plan.fails, lambda s: s < LOST_SHARE) for run in self.of(name))

    def queries_until_back(self, name: str) -> float:
        """From the mending until the share stays above its bound; the worst run's."""
        return max(_until(run, self.plan.mended, lambda s: s > BACK_SHARE) for run in self.of(name))


def _until(run: Run, begin: int, reached: Callable[[float], bool]) -> float:
    """Return the queries from `begin` to the end of the first step that reaches it for good."""
    for step in range(begin // STEP, len(run.share) - LASTING_STEPS):
        lasting = run.share[step : step + 1 + LASTING_STEPS]
        if reached(lasting[0]) and reached(sum(lasting) / len(lasting)):
            return (step + 1) * STEP - begin
    return math.inf


def measure(session: Session) -> Failure:
    plan = QUICK if session.quick else FULL
    result = Failure(
        plan=plan, runs=[run for seed in range(plan.seeds) for run in runs(plan, seed=seed)]
    )
    for name in (*MODELS, *POLICIES):
        session.say(f"  {name.partition(':')[0]:12} {result.error(name):6.1%} wrong in all")
    for name in POLICIES:
        session.say(
            f"  {name}: the failed model below {LOST_SHARE:.0%} after "
            f"{result.queries_until_lost(name):,.0f} queries, the mended one above "
            f"{BACK_SHARE:.0%} after {result.queries_until_back(name):,.0f} (worst run)"
        )
    return result


def runs(plan: Plan, *, seed: int) -> list[Run]:
    """Train the models, and send the same queries to each of them and through each policy."""
    predictions, labels = answers(plan, seed=seed)
    alone = [
        Run(name=name, seed=seed, errors=_steps(predictions[name] != labels)) for name in MODELS
    ]
    return [
        *alone,
        *(learned(name, predictions, labels=labels, seed=seed) for name in POLICIES),
    ]


def answers(plan: Plan, *, seed: int) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """Return what each model answers to each query, its failure included, and the truth."""
    generator = np.random.default_rng(seed)
    learned_from, asked = halves(seed)
    pictures = varied(
        learned_from.repeated(LEARNED_TIMES), noise=NOISE, shift=SHIFT, generator=generator
    )
    queries = varied(
        asked.some(plan.queries, generator=generator), noise=NOISE, shift=SHIFT, generator=generator
    )
    found = {}
    for name, (noise, make) in MODELS.items():
        seen = noisy(queries.images, noise=noise, generator=generator)
        if name == FAILING:
            broken = slice(plan.fails, plan.mended)
            seen[broken] = noisy(queries.images[broken], noise=BROKEN_NOISE, generator=generator)
        found[name] = make().fit(pictures.images, pictures.labels).predict(seen)
    return found, queries.labels


def learned(
    name: str,
    predictions: Mapping[str, NDArray[np.int64]],
    *,
    labels: NDArray[np.int64],
    seed: int,
) -> Run:
    """Ask through a policy with its default parameters; the label comes after each answer."""
    learner = Learner(make_policy(name, {}), arms=tuple(predictions))
    uniform = np.random.default_rng(seed).random(len(labels)).tolist()
    columns = {arm: [DIGITS[digit] for digit in row] for arm, row in predictions.items()}
    wrong, share = np.zeros(len(labels), dtype=bool), np.zeros(len(labels))
    for number, digit in enumerate(labels):
        prepared, label = learner.prepared, DIGITS[digit]
        selection = prepared.select(uniform[number])
        outputs = {arm: columns[arm][number] for arm in selection.arms}
        wrong[number] = learner.answer(selection, outputs=outputs) != label
        asks_all = len(selection.arms) == len(predictions)
        share[number] = (prepared.weights if asks_all else prepared.probabilities)[FAILING]
        learner.learn(selection, outputs=outputs, label=label)
    return Run(name=name, seed=seed, errors=_steps(wrong), share=_steps(share))


def _steps(values: NDArray[Any]) -> list[float]:
    means = np.asarray(values, dtype=float).reshape(-1, STEP).mean(axis=1)
    return [round(float(mean), 4) for mean in means]


def targets(result: Failure) -> list[Target]:
    return [target for name in POLICIES for target in _targets_of(result, name)]


def _targets_of(result: Failure, name: str) -> list[Target]:
    title = name.capitalize()
    share = f"{title}: queries until the {{}} model's share is"
    return [
        at_most(
            f"error of all queries, {title} : the best model alone, worst run",
            result.against_the_best(name),
            1.0,
        ),
        at_most(
            f"{share.format('failed')} below {LOST_SHARE:.0%}",
            result.queries_until_lost(name),
            LOST_WITHIN,
        ),
        at_most(
            f"{share.format('mended')} above {BACK_SHARE:.0%}",
            result.queries_until_back(name),
            BACK_WITHIN,
        ),
    ]


COLOURS = {"exp3": charts.BLUE, "exp4": charts.TEAL}


def _draw_errors(axes: Axes, result: Failure) -> None:
    for name in MODELS:
        x, rows = _curves([run.so_far for run in result.of(name)])
        colour = charts.ORANGE if name == FAILING else charts.QUIET
        axes.plot(x, 100 * rows.mean(axis=0), color=colour, linewidth=1.3)
        # Where the one that fails is told apart best, the others at the end.
        place = (result.plan.mended if name == FAILING else result.plan.queries) // STEP - 1
        charts.note(
            axes, name.partition(":")[0], (x[place], 100 * rows[:, place].mean()), color=colour,
            by=(6, 0) if name == FAILING else (-3, 3), ha="left" if name == FAILING else "right",
        )  # fmt: skip
    for name in POLICIES:
        _draw_band(axes, [run.so_far for run in result.of(name)], name=name, scale=100)
    axes.set(title="Wrong answers so far", ylabel="% of all queries so far")
    _share_queries(axes, result.plan)
    axes.legend(loc="upper left")


def _draw_shares(axes: Axes, result: Failure) -> None:
    for name in POLICIES:
        _draw_band(axes, [run.share for run in result.of(name)], name=name, scale=100)
    charts.limit(axes, 100 * LOST_SHARE)
    charts.limit(axes, 100 * BACK_SHARE)
    for start, within in ((result.plan.fails, LOST_WITHIN), (result.plan.mended, BACK_WITHIN)):
        axes.axvline(start + within, color=charts.LIMIT, linewidth=0.9, linestyle=(0, (2, 3)))
    axes.set(title="Share of the model that fails", ylabel="% of queries (Exp3), of weight (Exp4)")
    _share_queries(axes, result.plan)


def _share_queries(axes: Axes, plan: Plan) -> None:
    axes.axvspan(plan.fails, plan.mended, color=charts.SHADE, linewidth=0, zorder=0)
    axes.set(xlabel="queries", xlim=(0, plan.queries), ylim=(0, None))
    axes.xaxis.set_major_formatter(charts.THOUSANDS)


def _draw_band(axes: Axes, curves: list[list[float]], *, name: str, scale: float) -> None:
    x, rows = _curves(curves)
    colour = COLOURS[name]
    axes.plot(x, scale * rows.mean(axis=0), color=colour, label=TITLES[name])
    axes.fill_between(
        x, scale * rows.min(axis=0), scale * rows.max(axis=0), color=colour, alpha=0.18, linewidth=0
    )


def _curves(curves: list[list[float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = np.array(curves, dtype=np.float64)
    return STEP * np.arange(1, rows.shape[1] + 1, dtype=np.float64), rows


FIG8 = Experiment(
    name="fig8",
    title="Figure 8: a model fails and is mended",
    workload="digits, each query followed by its label; the best model fails for a while",
    systems=(*MODELS, *POLICIES),
    result=Failure,
    measure=measure,
    targets=targets,
    draw=charts.Chart(
        title="A model fails and is mended",
        subtitle=lambda result: (
            "Five models of digits, feedback after each query, default parameters, "
            f"{result.plan.seeds} runs (bands: all of them). Shaded: the best model fails."
        ),
        size=(10.4, 4.6),
        panels=(_draw_errors, _draw_shares),
    ),
)
