"""Figure 8: the best of five models fails and is mended, and policies notice both."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.charts import Panel
from benchmarks.experiment import Experiment, Session
from benchmarks.frames import Frame, Records, of
from benchmarks.paper.pictures import DIGITS, MODELS, halves, noisy, varied
from benchmarks.selection_simulation import Learner
from benchmarks.telling import Target
from selection.policies import make_policy

TITLES = {"exp3": "Exp3, one model a query", "exp4": "Exp4, all models vote"}
FULL_SEEDS, QUICK_SEEDS = 10, 2
QUERIES, FAILS_AT, MENDED_AT = 20_000, 5_000, 10_000
LEARNED_TIMES = 4
# Each looks at the pictures through a worse lens, and so is wrong in about 8, 15, 20, 30, 40 %.
LENSES = {"RBF SVM": 2.5, "Neighbours": 4.5, "Cubic SVM": 3.5, "Gaussians": 4.4, "Trees": 5.7}
ESTIMATORS = MODELS | {
    "Neighbours": lambda: KNeighborsClassifier(5),
    "Trees": lambda: ExtraTreesClassifier(100, random_state=1),
}
# Grey values out of 16 that come in between while the best model's input is broken.
FAILING, BROKEN_NOISE = "RBF SVM", 12.0
# Curves are made of means over so many queries.
STEP = 100
# After so many queries the failing model must have lost its place, or have it again.
LOST_WITHIN, LOST_SHARE = 1_000, 0.2
BACK_WITHIN, BACK_SHARE = 2_000, 0.5
# A crossing counts where it lasts so many steps in the mean: chance alone makes shares jump.
LASTING_STEPS = 5


def measure(session: Session) -> Records:
    seeds = QUICK_SEEDS if session.quick else FULL_SEEDS
    return [record for seed in range(seeds) for record in runs(seed)]


def runs(seed: int) -> Records:
    """Train the models, and send the same queries to each of them and through each policy. By steps
    of queries: shares of wrong answers, and under a policy the `share` that the failing model had
    of the queries, or of the weight where all are asked.
    """
    predictions, labels = answers(seed)
    found: Records = []
    for name in (*LENSES, *TITLES):
        if name in TITLES:
            wrong, share = learned(name, predictions, labels=labels, seed=seed)
        else:
            wrong, share = predictions[name] != labels, np.full(len(labels), math.nan)
        found += [
            {"name": name, "seed": seed, "queries": (step + 1) * STEP, "error": e, "share": s}
            for step, (e, s) in enumerate(zip(_steps(wrong), _steps(share), strict=True))
        ]
    return found


def answers(seed: int) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """Return what each model answers to each query, its failure included, and the truth."""
    generator = np.random.default_rng(seed)
    learned_from, asked = halves(seed)
    pictures = varied(learned_from.repeated(LEARNED_TIMES), generator=generator)
    queries = varied(asked.some(QUERIES, generator=generator), generator=generator)
    found = {}
    for name, noise in LENSES.items():
        seen = noisy(queries.images, noise=noise, generator=generator)
        if name == FAILING:
            broken = slice(FAILS_AT, MENDED_AT)
            seen[broken] = noisy(queries.images[broken], noise=BROKEN_NOISE, generator=generator)
        found[name] = ESTIMATORS[name]().fit(pictures.images, pictures.labels).predict(seen)
    return found, queries.labels


def learned(
    name: str, predictions: Mapping[str, Any], *, labels: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Ask through a policy with its default parameters; the label comes after each answer. Return
    which answers were wrong, and the failing model's share.
    """
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
    return wrong, share


def _steps(values: NDArray[Any]) -> list[float]:
    means: list[float] = values.astype(float).reshape(-1, STEP).mean(axis=1).round(4).tolist()
    return means


def by_seed(result: Frame, name: str, what: str) -> Frame:
    """A column for each run, over the queries."""
    return of(result, name=name).pivot(index="queries", columns="seed", values=what)


def against_the_best(result: Frame, name: str) -> float:
    """The policy's error beside that of the best model of each run; the worst run's."""
    alone = Frame({model: by_seed(result, model, "error").mean() for model in LENSES})
    return float((by_seed(result, name, "error").mean() / alone.min(axis=1)).max())


def queries_until(
    result: Frame, name: str, *, begin: int, reached: Callable[[float], bool]
) -> float:
    """From `begin` until the share is there for good; the worst run's."""
    shares = by_seed(result, name, "share")
    return max(_until(shares[seed].tolist(), begin, reached) for seed in shares)


def _until(shares: Sequence[float], begin: int, reached: Callable[[float], bool]) -> float:
    """Return the queries from `begin` to the end of the first step that reaches it for good."""
    for step in range(begin // STEP, len(shares) - LASTING_STEPS):
        lasting = shares[step : step + 1 + LASTING_STEPS]
        if reached(lasting[0]) and reached(sum(lasting) / len(lasting)):
            return (step + 1) * STEP - begin
    return math.inf


def targets(result: Frame) -> list[Target]:
    found = []
    for name in TITLES:
        title = name.capitalize()
        lost = queries_until(result, name, begin=FAILS_AT, reached=lambda s: s < LOST_SHARE)
        back = queries_until(result, name, begin=MENDED_AT, reached=lambda s: s > BACK_SHARE)
        what, until = "the best model alone, worst run", f"{title}: queries until the"
        error = against_the_best(result, name)
        lose, regain = f"below {LOST_SHARE:.0%}", f"above {BACK_SHARE:.0%}"
        found += [
            Target(f"error of all queries, {title} : {what}", error, "≤ 1"),
            Target(f"{until} failed model's share is {lose}", lost, f"≤ {LOST_WITHIN:,}"),
            Target(f"{until} mended model's share is {regain}", back, f"≤ {BACK_WITHIN:,}"),
        ]
    return found


def _errors_so_far(result: Frame) -> Frame:
    means = {name: by_seed(result, name, "error").mean(axis=1) for name in (*TITLES, *LENSES)}
    return 100 * Frame(means).expanding().mean().rename(columns=TITLES)


def _shares(result: Frame) -> Frame:
    means = {title: by_seed(result, name, "share").mean(axis=1) for name, title in TITLES.items()}
    return 100 * Frame(means)


FIG8 = Experiment(
    name="fig8",
    title="Figure 8: a model fails and is mended",
    workload="digits, each query followed by its label; the best model fails for a while",
    systems=(*LENSES, *TITLES),
    measure=measure,
    targets=targets,
    panels=(
        Panel(
            title="Wrong answers so far", x="queries", y="% of all queries so far", style="-",
            of=_errors_so_far, marks=(FAILS_AT, MENDED_AT),
        ),
        Panel(
            title="Share of the model that fails", x="queries", style="-", of=_shares,
            y="% of queries (Exp3), of weight (Exp4)",
            limits=(100 * LOST_SHARE, 100 * BACK_SHARE),
            marks=(FAILS_AT + LOST_WITHIN, MENDED_AT + BACK_WITHIN),
        ),
    ),
)  # fmt: skip
