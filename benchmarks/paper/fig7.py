"""Figure 7: five models together, and how far to believe them by how many agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from benchmarks.charts import Panel
from benchmarks.experiment import Experiment, Session
from benchmarks.frames import Frame, Records, of
from benchmarks.paper import PAPER
from benchmarks.paper.pictures import DIGITS, MODELS, halves, varied
from benchmarks.telling import Target, number
from selection.answers.combine import combine

FULL_SPLITS, QUICK_SPLITS = 20, 4
# Of the half to learn from, what tells how good each model is; each learns from half of the rest.
JUDGING_SHARE, OWN_SHARE = 0.2, 0.5
LEARNED_TIMES, ASKED_TIMES = 6, 4
# Pictures by the model that was asked, and by how many models agreed with the ensemble.
MODEL, CAMP = "model", "camp"


class Part(NamedTuple):
    """Some of the pictures: how often the ensemble is wrong on them, and their share of all."""

    error: float
    coverage: float


def part(result: Frame, *, least: int = 1, below: int = 99) -> Part:
    """The pictures on which at least so many models agree with the ensemble, and not more."""
    camps = of(result, kind=CAMP)
    some = camps[camps["agreeing"].between(least, below - 1)]
    asked = some["asked"].sum()
    error = float(some["wrong"].sum() / asked) if asked else math.nan
    return Part(error=error, coverage=float(asked / camps["asked"].sum()))


def errors(result: Frame) -> Any:
    """How often each model alone is wrong, the best one first, which is known only afterwards."""
    counts = of(result, kind=MODEL).groupby("model", sort=False)[["wrong", "asked"]].sum()
    return (counts["wrong"] / counts["asked"]).sort_values()


def measure(session: Session) -> Records:
    splits = QUICK_SPLITS if session.quick else FULL_SPLITS
    return [record for seed in range(splits) for record in one_split(seed)]


def one_split(seed: int) -> Records:
    """Train the five on pictures of their own, and ask all of them about the other half."""
    generator = np.random.default_rng(seed)
    learned, asked = halves(seed)
    judging, pool = learned.split(round(JUDGING_SHARE * len(learned)))
    questions = varied(asked.repeated(ASKED_TIMES), generator=generator)
    judged = varied(judging.repeated(ASKED_TIMES), generator=generator)
    predictions, weights = {}, {}
    for name, make in MODELS.items():
        own = pool.some(round(OWN_SHARE * len(pool)), generator=generator)
        pictures = varied(own.repeated(LEARNED_TIMES), generator=generator)
        model = make().fit(pictures.images, pictures.labels)
        predictions[name] = model.predict(questions.images)
        weights[name] = trust(float(np.mean(model.predict(judged.images) != judged.labels)))
    found = judge(predictions, labels=questions.labels, weights=weights)
    return [record | {"split": seed} for record in found]


def trust(error: float) -> float:
    """Return the best weight of a vote that is wrong so often and independent of the others.

    log((1 - e) / e): Nitzan and Paroush (1982).
    """
    error = min(max(error, 1e-3), 1.0 - 1e-3)
    return math.log((1.0 - error) / error)


def judge(predictions: Mapping[str, Any], *, labels: Any, weights: Mapping[str, float]) -> Records:
    """Have the models vote on each picture; `predictions` and `labels` are digits, shape (n,)."""
    names = tuple(predictions)
    asked, wrong = [0] * len(names), [0] * len(names)
    for place, label in enumerate(labels):
        outputs = {name: DIGITS[predictions[name][place]] for name in names}
        output = combine(outputs, weights=weights, asked=names).output
        agreeing = sum(one == output for one in outputs.values()) - 1
        asked[agreeing] += 1
        wrong[agreeing] += output != DIGITS[label]
    each = [(name, int(np.sum(predictions[name] != labels))) for name in names]
    camps = enumerate(zip(asked, wrong, strict=True), start=1)
    return [
        *({"kind": MODEL, "model": name, "asked": len(labels), "wrong": w} for name, w in each),
        *({"kind": CAMP, "agreeing": n, "asked": a, "wrong": w} for n, (a, w) in camps),
    ]


def targets(result: Frame) -> list[Target]:
    alone, ensemble = errors(result), part(result).error
    four, five = part(result, least=4).error, part(result, least=5).error
    paper, what = number(1.0 - PAPER["fig7_reduction"]), "error, ensemble : best single model"
    return [
        Target(f"{what} ({alone.index[0]})", ensemble / alone.iloc[0], "≤ 1", paper),
        Target("error, 5 agree : 4 agree", five / four, "≤ 1"),
        Target("error, 4 agree : ensemble on all", four / ensemble, "≤ 1"),
        *(
            Target(
                f"error, fewer than {agreeing} agree : ensemble on all",
                part(result, below=agreeing).error / ensemble, "≥ 1",
            )
            for agreeing in (4, 5)
        ),
    ]  # fmt: skip


def _alone_and_together(result: Frame) -> Frame:
    shares = errors(result)[list(MODELS)].to_dict() | {"All five": part(result).error}
    return 100 * Frame({"wrong": shares})


def _by_agreement(result: Frame) -> Frame:
    parts = {
        "All pictures": part(result),
        "4 or 5 agree": part(result, least=4),
        "fewer than 4": part(result, below=4),
        "all 5 agree": part(result, least=5),
        "fewer than 5": part(result, below=5),
    }
    shares = {f"{name}\n{one.coverage:.0%} of all": one.error for name, one in parts.items()}
    return 100 * Frame({"wrong": shares})


FIG7 = Experiment(
    name="fig7",
    title="Figure 7: ensembles and confidence",
    workload="moved and noisy digits",
    systems=(*MODELS, "all five"),
    measure=measure,
    targets=targets,
    panels=(
        Panel(title="Wrong answers", x="% of all", of=_alone_and_together, across=True),
        Panel(
            title="Wrong answers, by how many agree", x="% of those pictures",
            of=_by_agreement, across=True,
        ),
    ),
)  # fmt: skip
