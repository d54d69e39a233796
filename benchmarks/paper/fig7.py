"""Figure 7: five models together, and how far to believe them by how many agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
from matplotlib.axes import Axes
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from benchmarks import charts
from benchmarks.experiment import Experiment, Session
from benchmarks.paper.pictures import DIGITS, Scans, halves, varied
from benchmarks.paper.published import PAPER
from benchmarks.targets import Target, at_least, at_most, number
from selection.answers.combine import combine

# Grey values out of 16, and pixels: hard enough for the models to be wrong often.
NOISE, SHIFT = 2.0, 1
# Of the half to learn from, what tells how good each model is; each learns from half of the rest.
JUDGING_SHARE, OWN_SHARE = 0.2, 0.5
LEARNED_TIMES, ASKED_TIMES = 6, 4
AGREEING = (4, 5)

MODELS: dict[str, tuple[str, Callable[[], Any]]] = {
    "rbf-svm": ("RBF SVM", lambda: SVC(gamma=0.002)),
    "cubic-svm": ("Cubic SVM", lambda: SVC(kernel="poly", degree=3, gamma=0.001)),
    "neighbours": ("Neighbours", lambda: KNeighborsClassifier(5, weights="distance")),
    "gaussians": (
        "Gaussians",
        lambda: make_pipeline(PCA(28), QuadraticDiscriminantAnalysis(reg_param=0.05)),
    ),
    "trees": ("Trees", lambda: ExtraTreesClassifier(150, random_state=1)),
}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    splits: int


FULL, QUICK = Plan(splits=20), Plan(splits=4)


class Camp(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures on which so many models agreed with the ensemble, and how often it was wrong."""

    asked: int
    wrong: int


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """One half of the scans to learn from, the other to ask about.

    `wrong` counts by model, `camps` by how many models agreed, from one to all.
    """

    asked: int
    wrong: dict[str, int]
    camps: list[Camp]

    @property
    def ensemble(self) -> float:
        return sum(camp.wrong for camp in self.camps) / self.asked


class Committee(msgspec.Struct, frozen=True, kw_only=True):
    splits: list[Split]

    @property
    def asked(self) -> int:
        return sum(split.asked for split in self.splits)

    @property
    def errors(self) -> dict[str, float]:
        return {
            name: sum(split.wrong[name] for split in self.splits) / self.asked
            for name in self.splits[0].wrong
        }

    @property
    def best(self) -> str:
        """The model that is wrong least often, known only afterwards."""
        return min(self.errors, key=self.errors.__getitem__)

    @property
    def ensemble(self) -> float:
        return self._of(1).error

    def confident(self, agreeing: int) -> Part:
        """The pictures on which at least so many models agree."""
        return self._of(agreeing)

    def unsure(self, agreeing: int) -> Part:
        """All other pictures."""
        return self._of(1, below=agreeing)

    def _of(self, least: int, *, below: int | None = None) -> Part:
        end = None if below is None else below - 1
        camps = [camp for split in self.splits for camp in split.camps[least - 1 : end]]
        asked = sum(camp.asked for camp in camps)
        wrong = sum(camp.wrong for camp in camps)
        return Part(
            error=wrong / asked if asked else math.nan,
            coverage=asked / self.asked,
        )


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the pictures: how often the ensemble is wrong on them, and their share of all."""

    error: float
    coverage: float


def measure(session: Session) -> Committee:
    plan = QUICK if session.quick else FULL
    result = Committee(splits=[one_split(seed) for seed in range(plan.splits)])
    for name, error in result.errors.items():
        session.say(f"  {MODELS[name][0]:12} {error:6.1%} wrong")
    session.say(f"  {'together':12} {result.ensemble:6.1%}, of {result.asked:,} pictures")
    for agreeing in AGREEING:
        sure, unsure = result.confident(agreeing), result.unsure(agreeing)
        session.say(
            f"  {agreeing} agree      {sure.error:6.1%} on {sure.coverage:.0%} of them, "
            f"{unsure.error:.1%} on the others"
        )
    return result


def one_split(seed: int) -> Split:
    """Train the five on pictures of their own, and ask all of them about the other half."""
    generator = np.random.default_rng(seed)
    learned, asked = halves(seed)
    judging, pool = learned.split(round(JUDGING_SHARE * len(learned)))
    questions = _varied(asked.repeated(ASKED_TIMES), generator)
    judged = _varied(judging.repeated(ASKED_TIMES), generator)
    predictions, weights = {}, {}
    for name, (_, make) in MODELS.items():
        own = pool.some(round(OWN_SHARE * len(pool)), generator=generator)
        pictures = _varied(own.repeated(LEARNED_TIMES), generator)
        model = make().fit(pictures.images, pictures.labels)
        predictions[name] = model.predict(questions.images)
        weights[name] = trust(float(np.mean(model.predict(judged.images) != judged.labels)))
    return judge(predictions, labels=questions.labels, weights=weights)


def _varied(scans: Scans, generator: np.random.Generator) -> Scans:
    return varied(scans, noise=NOISE, shift=SHIFT, generator=generator)


def trust(error: float) -> float:
    """Return the best weight of a vote that is wrong so often and independent of the others.

    log((1 - e) / e): Nitzan and Paroush (1982).
    """
    error = min(max(error, 1e-3), 1.0 - 1e-3)
    return math.log((1.0 - error) / error)


def judge(predictions: Mapping[str, Any], *, labels: Any, weights: Mapping[str, float]) -> Split:
    """Have the models vote on each picture; `predictions` and `labels` are digits, shape (n,)."""
    names = tuple(predictions)
    asked, wrong = [0] * len(names), [0] * len(names)
    for number_, label in enumerate(labels):
        outputs = {name: DIGITS[predictions[name][number_]] for name in names}
        output = combine(outputs, weights=weights, asked=names).output
        place = sum(one == output for one in outputs.values()) - 1
        asked[place] += 1
        wrong[place] += output != DIGITS[label]
    return Split(
        asked=len(labels),
        wrong={name: int(np.sum(predictions[name] != labels)) for name in names},
        camps=[Camp(asked=a, wrong=w) for a, w in zip(asked, wrong, strict=True)],
    )


def targets(result: Committee) -> list[Target]:
    four, five = result.confident(4).error, result.confident(5).error
    return [
        at_most(
            f"error, ensemble : best single model ({MODELS[result.best][0]})",
            result.ensemble / result.errors[result.best],
            1.0,
            paper=number(1.0 - PAPER.fig7_reduction),
        ),
        at_most("error, 5 agree : 4 agree", five / four, 1.0),
        at_most("error, 4 agree : ensemble on all", four / result.ensemble, 1.0),
        *(
            at_least(
                f"error, fewer than {agreeing} agree : ensemble on all",
                result.unsure(agreeing).error / result.ensemble,
                1.0,
            )
            for agreeing in AGREEING
        ),
    ]


def _draw_errors(axes: Axes, result: Committee) -> None:
    errors = [*result.errors.values(), result.ensemble]
    splits = [
        *([split.wrong[name] / split.asked for split in result.splits] for name in result.errors),
        [split.ensemble for split in result.splits],
    ]
    charts.rows(
        axes,
        [*(MODELS[name][0] for name in result.errors), "All five"],
        [100 * error for error in errors],
        colours=[*[charts.PALE] * len(result.errors), charts.BLUE],
        texts=[f"{error:.1%}" for error in errors],
        ends=[100 * max(each) for each in splits],
    )
    for row, each in enumerate(splits):
        axes.vlines(
            [100 * one for one in each], row - 0.2, row + 0.2, color=charts.INK, linewidth=0.6,
            alpha=0.55,
        )  # fmt: skip
    axes.set(title="Wrong answers", xlabel="% of all pictures")
    axes.set_xlim(right=100 * max(map(max, splits)) * 1.15)


def _draw_confidence(axes: Axes, result: Committee) -> None:
    bars = [("All pictures", result.confident(1), charts.BLUE)]
    for agreeing, sure, unsure in (
        (4, "4 or 5 agree", "fewer than 4"),
        (5, "all 5 agree", "fewer than 5"),
    ):
        bars.append((sure, result.confident(agreeing), charts.TEAL))
        bars.append((unsure, result.unsure(agreeing), charts.ORANGE))
    names, parts, colours = zip(*bars, strict=True)
    charts.rows(
        axes,
        names,
        [100 * part.error for part in parts],
        colours=colours,
        texts=[f"{part.error:.1%} wrong, {part.coverage:.0%} of all" for part in parts],
    )
    highest = max((part.error for part in parts if part.error > 0.0), default=1.0)
    axes.set(title="Wrong answers, by how many agree", xlabel="% of those pictures")
    axes.set_xlim(0, 170 * highest)


FIG7 = Experiment(
    name="fig7",
    title="Figure 7: ensembles and confidence",
    workload="moved and noisy digits",
    systems=(*MODELS, "all five"),
    result=Committee,
    measure=measure,
    targets=targets,
    draw=charts.Chart(
        title="Ensembles: accuracy and confidence",
        subtitle=lambda result: (
            f"{result.asked:,} moved and noisy digits in {len(result.splits)} "
            "splits, five models trained on pictures of their own. Thin lines: one split each."
        ),
        size=(9.6, 4.4),
        panels=(_draw_errors, _draw_confidence),
        options={"width_ratios": [1.15, 1.0]},
    ),
)
