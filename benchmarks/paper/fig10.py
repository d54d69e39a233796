"""Figure 10: each user has a state of their own, which finds the models that suit them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from benchmarks.charts import Panel
from benchmarks.experiment import Experiment, Session
from benchmarks.frames import Frame, Records, of
from benchmarks.paper import PAPER
from benchmarks.paper.pictures import DIGITS, Scans, halves, noisy, slanted
from benchmarks.selection_simulation import Learner
from benchmarks.telling import Target, number
from selection.contexts import GLOBAL_CONTEXT
from selection.policies import make_policy
from selection.policies.statistics import State

# How each dialect writes: degrees that it turns its digits, and pixels to the side for each up.
DIALECTS = (
    *((-60.0, 0.0), (-40.0, 0.5), (-20.0, -0.4), (-10.0, 0.3)),
    *((10.0, -0.5), (25.0, 0.4), (45.0, -0.2), (65.0, 0.2)),
)
NOISE = 2.0
GLOBAL = "everybody:1"
ARMS = (GLOBAL, *(f"dialect-{n}:1" for n in range(1, len(DIALECTS) + 1)))
POLICY = make_policy("exp4", {})
FEEDBACKS, WANTED_WITHIN = 8, 4
# Users from whom what is known of everybody is learned, of as many labels each, and pictures that
# each other user's error is measured with.
STRANGERS, ASKED = 125, 40
EVERYBODY, OWN, LEARNED = "one model for everybody", "model of the user's own dialect", "learned"


def measure(session: Session) -> Records:
    return personal(splits=1, users=80) if session.quick else personal(splits=5, users=160)


def personal(*, splits: int, users: int) -> Records:
    """Shares of wrong answers, means of a split's users, by who answers and how much it learned."""
    return [
        {"who": who, "feedbacks": feedbacks, "split": seed, "error": error}
        for seed in range(splits)
        for who, errors in _split(users, seed=seed).items()
        for feedbacks, error in enumerate(errors)
    ]


def _split(count: int, *, seed: int) -> dict[str, list[float]]:
    """Return the errors for one half to learn from and one to ask."""
    generator = np.random.default_rng(seed)
    learned_from, asked = halves(seed)
    models = trained(learned_from, generator=generator)
    users = []
    for place in range(count):
        dialect = place % len(DIALECTS)
        scans = asked.some(FEEDBACKS + ASKED, generator=generator)
        observed, others = spoken(scans, dialect, generator=generator).split(FEEDBACKS)
        users.append((dialect, Asked.of(models, observed), Asked.of(models, others)))
    general = of_everybody(models, asked, generator=generator)
    learned = [learns(observed, others, general=general) for _, observed, others in users]
    return {
        EVERYBODY: [float(np.mean([others.error_of(GLOBAL) for _, _, others in users]))],
        OWN: [float(np.mean([others.error_of(ARMS[1 + n]) for n, _, others in users]))],
        LEARNED: [float(error) for error in np.mean(learned, axis=0)],
    }


def spoken(scans: Scans, dialect: int, *, generator: np.random.Generator) -> Scans:
    """Return the scans as that dialect writes them."""
    degrees, shear = DIALECTS[dialect]
    written = slanted(scans.images, degrees=degrees, shear=shear)
    return Scans(noisy(written, noise=NOISE, generator=generator), scans.labels)


def trained(scans: Scans, *, generator: np.random.Generator) -> dict[str, Any]:
    """Return a linear model of each dialect, and one of all that those have learned from."""
    dialects = [spoken(scans, n, generator=generator) for n in range(len(DIALECTS))]
    everything = Scans(
        np.concatenate([one.images for one in dialects]),
        np.concatenate([one.labels for one in dialects]),
    )
    return {
        arm: LinearDiscriminantAnalysis().fit(one.images, one.labels)
        for arm, one in zip(ARMS, [everything, *dialects], strict=True)
    }


def of_everybody(
    models: dict[str, Any], scans: Scans, *, generator: np.random.Generator
) -> dict[str, State]:
    """Return what strangers of all dialects in turn have taught, each in a context of their own."""
    states: dict[str, State] = {}
    for place in range(STRANGERS):
        some = scans.some(FEEDBACKS, generator=generator)
        asked = Asked.of(models, spoken(some, place % len(DIALECTS), generator=generator))
        learner = Learner(POLICY, arms=ARMS, context=f"stranger {place}", states=states)
        for feedback in range(FEEDBACKS):
            asked.teach(learner, feedback)
    return {GLOBAL_CONTEXT: states[GLOBAL_CONTEXT]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Pictures' digits, and what each model answers, as JSON text."""

    labels: list[bytes]
    outputs: dict[str, list[bytes]]

    @classmethod
    def of(cls, models: dict[str, Any], scans: Scans) -> Asked:
        return cls(
            labels=[DIGITS[label] for label in scans.labels],
            outputs={
                arm: [DIGITS[digit] for digit in model.predict(scans.images)]
                for arm, model in models.items()
            },
        )

    def at(self, place: int) -> dict[str, bytes]:
        return {arm: texts[place] for arm, texts in self.outputs.items()}

    def teach(self, learner: Learner, place: int) -> None:
        """Ask one of the questions and give its label as feedback."""
        selection = learner.prepared.select(0.0)
        learner.learn(selection, outputs=self.at(place), label=self.labels[place])

    def error_of(self, arm: str) -> float:
        pairs = zip(self.outputs[arm], self.labels, strict=True)
        return float(np.mean([output != label for output, label in pairs]))

    def error(self, learner: Learner) -> float:
        selection = learner.prepared.select(0.0)
        wrong = [
            learner.answer(selection, outputs=self.at(place)) != label
            for place, label in enumerate(self.labels)
        ]
        return float(np.mean(wrong))


def learns(observed: Asked, others: Asked, *, general: dict[str, State]) -> list[float]:
    """Return the error of a user's context after none, one, ... of the feedbacks."""
    learner = Learner(POLICY, arms=ARMS, context="the user's", states=dict(general))
    errors = [others.error(learner)]
    for place in range(FEEDBACKS):
        observed.teach(learner, place)
        errors.append(others.error(learner))
    return errors


def error_of(result: Frame, who: str) -> Any:
    """By the number of feedbacks; models alone have the same with all."""
    return of(result, who=who).groupby("feedbacks")["error"].mean()


def feedbacks_needed(result: Frame) -> float:
    """The first number of feedbacks from which on the error is below that for everybody."""
    learned = error_of(result, LEARNED)
    above = learned[learned >= error_of(result, EVERYBODY)[0]].index
    needed = above[-1] + 1 if len(above) else 0
    return float(needed) if needed < len(learned) else math.inf


def targets(result: Frame) -> list[Target]:
    paper = PAPER["fig10_learned"][WANTED_WITHIN] / PAPER["fig10_global"]
    error = error_of(result, LEARNED)[WANTED_WITHIN] / error_of(result, EVERYBODY)[0]
    soon = "feedbacks a user until the error is below the global model's"
    low = f"error after {WANTED_WITHIN} feedbacks : the global model's"
    return [
        Target(soon, feedbacks_needed(result), f"≤ {WANTED_WITHIN}", "1"),
        Target(low, error, "≤ 1", number(paper)),
    ]


def _errors(result: Frame) -> Frame:
    by_feedbacks = {who: error_of(result, who) for who in (LEARNED, EVERYBODY, OWN)}
    return 100 * Frame(by_feedbacks).ffill()


def _paper(result: Frame) -> Frame:
    learned, rest = PAPER["fig10_learned"], ("global", "reported")
    others = {f"paper: {what} dialect": [PAPER[f"fig10_{what}"]] * len(learned) for what in rest}
    return 100 * Frame({"paper: learned": learned} | others)


FIG10 = Experiment(
    name="fig10",
    title="Figure 10: a context for each user",
    workload="digits in eight dialects, labelled by their users",
    systems=("a model for everybody", "each dialect's own", POLICY.name),
    measure=measure,
    targets=targets,
    panels=(
        Panel(
            title="Wrong answers", x="feedbacks that the user has given", y="% wrong",
            of=_errors, paper=_paper,
        ),
    ),
)  # fmt: skip
