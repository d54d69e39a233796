"""Figure 10: each user has a state of their own, which finds the models that suit them."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from benchmarks import charts
from benchmarks.experiment import Experiment, Session
from benchmarks.learner import Learner
from benchmarks.paper.pictures import DIGITS, Scans, halves, noisy, slanted
from benchmarks.paper.published import PAPER
from benchmarks.targets import Target, at_most, number
from selection.policies import Policy, make_policy
from selection.policies.statistics import State

# How each dialect writes: degrees that it turns its digits, and pixels to the side for each up.
DIALECTS = (
    *((-60.0, 0.0), (-40.0, 0.5), (-20.0, -0.4), (-10.0, 0.3)),
    *((10.0, -0.5), (25.0, 0.4), (45.0, -0.2), (65.0, 0.2)),
)
NOISE = 2.0
GLOBAL = "everybody:1"
ARMS = (GLOBAL, *(f"dialect-{n}:1" for n in range(1, len(DIALECTS) + 1)))
POLICY = "exp4"
# Eight labels a user have to be enough: each counts for much.
PARAMS = {"eta": 4.0}
FEEDBACKS = 8
WANTED_WITHIN = 4


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`strangers`: labelled queries of users without a context, from which the general state is
    learned; `asked`: pictures that each user's error is measured with.
    """

    splits: int
    users: int
    strangers: int = 1_000
    asked: int = 40


FULL, QUICK = Plan(splits=5, users=160), Plan(splits=1, users=80)


class Personal(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of wrong answers, means of all users: of the model for everybody alone, of each
    user's own dialect's model alone, and learned from so many feedbacks.
    """

    users: int
    everybody: float
    own_dialect: float
    learned: list[float]

    @property
    def feedbacks_needed(self) -> float:
        """The first number of feedbacks from which on the error is below that for everybody."""
        above = [n for n, error in enumerate(self.learned) if error >= self.everybody]
        needed = above[-1] + 1 if above else 0
        return needed if needed < len(self.learned) else math.inf


def measure(session: Session) -> Personal:
    plan = QUICK if session.quick else FULL
    result = personal(plan)
    session.say(
        f"  {result.users} users, model for everybody {result.everybody:.1%} wrong, "
        f"that of the own dialect {result.own_dialect:.1%}"
    )
    session.say(f"  by feedbacks: {', '.join(f'{error:.1%}' for error in result.learned)}")
    return result


def personal(plan: Plan) -> Personal:
    parts = [_split(plan, seed=seed) for seed in range(plan.splits)]
    everybody, own, learned = (np.mean(values, axis=0) for values in zip(*parts, strict=True))
    return Personal(
        users=plan.splits * plan.users,
        everybody=float(everybody),
        own_dialect=float(own),
        learned=[round(float(error), 5) for error in learned],
    )


def _split(plan: Plan, *, seed: int) -> tuple[float, float, NDArray[np.float64]]:
    """Return the three errors of `Personal` for one half to learn from and one to ask."""
    generator = np.random.default_rng(seed)
    learned_from, asked = halves(seed)
    models = trained(learned_from, generator=generator)
    users = [_User(n, models, asked, plan=plan, generator=generator) for n in range(plan.users)]
    policy = make_policy(POLICY, PARAMS)
    general = of_everybody(models, asked, policy=policy, count=plan.strangers, generator=generator)
    return (
        float(np.mean([user.error_of(GLOBAL) for user in users])),
        float(np.mean([user.error_of(ARMS[1 + user.dialect]) for user in users])),
        np.mean([user.learns(policy, general=general) for user in users], axis=0),
    )


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
    models: dict[str, Any],
    scans: Scans,
    *,
    policy: Policy,
    count: int,
    generator: np.random.Generator,
) -> State:
    """Return what is learned without contexts, from labelled queries of all dialects in turn."""
    learner = Learner(policy, arms=ARMS)
    each = [
        Asked.of(
            models,
            spoken(scans.some(count // len(DIALECTS), generator=generator), n, generator=generator),
        )
        for n in range(len(DIALECTS))
    ]
    for place in range(count // len(DIALECTS)):
        for asked in each:
            asked.teach(learner, place)
    return learner.state


class Asked(msgspec.Struct, frozen=True, kw_only=True):
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


class _User:
    """Somebody who writes one dialect, gives feedback on some pictures, and asks about others."""

    def __init__(
        self,
        place: int,
        models: dict[str, Any],
        scans: Scans,
        *,
        plan: Plan,
        generator: np.random.Generator,
    ) -> None:
        self.dialect = place % len(DIALECTS)
        mine = spoken(
            scans.some(FEEDBACKS + plan.asked, generator=generator),
            self.dialect,
            generator=generator,
        )
        observed, asked = mine.split(FEEDBACKS)
        self._taught, self._asked = Asked.of(models, observed), Asked.of(models, asked)

    def error_of(self, arm: str) -> float:
        pairs = zip(self._asked.outputs[arm], self._asked.labels, strict=True)
        return float(np.mean([output != label for output, label in pairs]))

    def learns(self, policy: Policy, *, general: State) -> list[float]:
        """Return the error of this user's context after none, one, ... of the feedbacks."""
        learner = Learner(policy, arms=ARMS, general=general)
        errors = [self._error(learner)]
        for place in range(FEEDBACKS):
            self._taught.teach(learner, place)
            errors.append(self._error(learner))
        return errors

    def _error(self, learner: Learner) -> float:
        selection = learner.prepared.select(0.0)
        wrong = [
            learner.answer(selection, outputs=self._asked.at(place)) != label
            for place, label in enumerate(self._asked.labels)
        ]
        return float(np.mean(wrong))


def targets(result: Personal) -> list[Target]:
    paper = PAPER.fig10_learned[WANTED_WITHIN] / PAPER.fig10_global
    return [
        at_most(
            "feedbacks a user until the error is below the global model's",
            result.feedbacks_needed,
            WANTED_WITHIN,
            paper="1",
        ),
        at_most(
            f"error after {WANTED_WITHIN} feedbacks : the global model's",
            result.learned[WANTED_WITHIN] / result.everybody,
            1.0,
            paper=number(paper),
        ),
    ]


def _draw(axes: Axes, result: Personal) -> None:
    x = range(len(result.learned))
    axes.plot(x, [100 * e for e in result.learned], "o-", color=charts.BLUE, label="learned")
    for error, colour, name in (
        (result.everybody, charts.ORANGE, "one model for everybody"),
        (result.own_dialect, charts.TEAL, "model of the user's own dialect"),
    ):
        axes.axhline(100 * error, color=colour, linewidth=1.3, label=name)
    axes.plot(
        range(len(PAPER.fig10_learned)), [100 * e for e in PAPER.fig10_learned], "D--",
        color=charts.PAPER, markersize=4, linewidth=1.0, label="the paper: learned",
    )  # fmt: skip
    for error, name in (
        (PAPER.fig10_global, "the paper: no dialect"),
        (PAPER.fig10_reported, "the paper: the dialect that users report"),
    ):
        axes.axhline(100 * error, color=charts.PALE, linewidth=1.0)
        charts.note(axes, name, (FEEDBACKS, 100 * error), by=(0, 2), ha="right", color=charts.QUIET)
    for place in (0, WANTED_WITHIN, FEEDBACKS):
        charts.note(
            axes, f"{result.learned[place]:.1%}", (place, 100 * result.learned[place]), by=(4, 6),
            color=charts.BLUE, fontweight="bold", fontsize=9,
        )  # fmt: skip
    top = 110 * max(*result.learned, result.everybody, PAPER.fig10_global)
    axes.set(
        xlabel="feedbacks that the user has given", ylabel="% wrong", ylim=(0, top),
        xlim=(-0.2, FEEDBACKS + 0.5),
    )  # fmt: skip
    axes.xaxis.set_major_locator(charts.few_ticks())
    axes.legend(loc="lower left", ncols=2)


FIG10 = Experiment(
    name="fig10",
    title="Figure 10: a context for each user",
    workload="digits in eight dialects, labelled by their users",
    systems=("a model for everybody", "each dialect's own", POLICY),
    result=Personal,
    measure=measure,
    targets=targets,
    draw=charts.Chart(
        title="A context for each user",
        subtitle=lambda result: (
            f"{result.users} users of eight dialects of digits; nine models, "
            f"{POLICY} with eta {PARAMS['eta']:g}. Grey: the paper's, of speech."
        ),
        size=(8.6, 4.6),
        panels=(_draw,),
    ),
)
