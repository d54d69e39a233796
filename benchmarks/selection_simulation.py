"""Policies in a world whose best arm fails and is mended: where their defaults come from.

    python -m benchmarks.selection_simulation                       every policy, its defaults
    python -m benchmarks.selection_simulation exp3 eta=0.1 eta=0.3  one, its parameters varied

20,000 queries, each labelled at once; five arms that err in 8, 15, 20, 30 and 40 % of all; the best
one errs in 90 % from query 5,000 to 10,000. Arms err independently, and wrong answers are all the
same: two classes, the hardest case for a vote.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from statistics import mean

from benchmarks.learner import Learner
from selection.policies import POLICIES, Policy, Prepared, make_policy

QUERIES, FAILS_AT, MENDED_AT = 20_000, 5_000, 10_000
WRONG = {"a:1": 0.08, "b:1": 0.15, "c:1": 0.20, "d:1": 0.30, "e:1": 0.40}
BEST, WRONG_WHILE_FAILING = "a:1", 0.9
SEEDS = range(10)
# A share of traffic is that of so many queries up to now.
WINDOW = 100

# Says of each arm whether it is wrong about the query of this number.
World = Callable[[int, Random], Mapping[str, bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One query: whether the answer given was wrong, and the part that each arm has in it."""

    wrong: bool
    part: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a policy. `left` and `back`: how many queries after its failure the best arm's
    part was below 20 %, and after it was mended, above 50 %; None where it never was.
    """

    error: float
    left: int | None
    back: int | None


def failing_best(*, fails_at: int = FAILS_AT, mended_at: int = MENDED_AT) -> World:
    """Return a world whose best arm fails for a while."""

    def world(query: int, luck: Random) -> dict[str, bool]:
        failing = fails_at <= query < mended_at
        return {
            arm: luck.random() < (WRONG_WHILE_FAILING if failing and arm == BEST else wrong)
            for arm, wrong in WRONG.items()
        }

    return world


def play(
    policy: Policy,
    *,
    seed: int,
    queries: int = QUERIES,
    world: World = failing_best(),  # noqa: B008 - it holds nothing that changes
    features: Callable[[int, Random], Sequence[float]] = lambda query, luck: (),
) -> Iterator[Step]:
    """Let a policy choose, answer and learn, query by query; its luck is not the world's."""
    learner = Learner(policy, arms=tuple(world(0, Random(0))))
    chance, luck = Random(f"policy {seed}"), Random(f"world {seed}")
    for query in range(queries):
        wrong = world(query, luck)
        described = features(query, luck)
        selection = learner.prepared.select(chance.random(), described)
        yield _step(learner.prepared, selection.arms, wrong=wrong)
        losses = {arm: float(wrong[arm]) for arm in selection.arms}
        learner.take(selection, losses, features=described)


def _step(prepared: Prepared, asked: Sequence[str], *, wrong: Mapping[str, bool]) -> Step:
    if len(asked) == 1:
        return Step(wrong=wrong[asked[0]], part=prepared.probabilities)
    against = sum(weight for arm, weight in prepared.weights.items() if wrong[arm])
    return Step(wrong=against > 0.5, part=prepared.weights)


def summed_up(
    steps: Sequence[Step], *, fails_at: int = FAILS_AT, mended_at: int = MENDED_AT
) -> Run:
    parts = [step.part[BEST] for step in steps]
    return Run(
        error=mean(step.wrong for step in steps),
        left=_first(parts, after=fails_at, reached=lambda part: part < 0.2),
        back=_first(parts, after=mended_at, reached=lambda part: part > 0.5),
    )


def _first(parts: Sequence[float], *, after: int, reached: Callable[[float], bool]) -> int | None:
    """Return after how many queries the mean part of a window was there."""
    for end in range(after + WINDOW, len(parts) + 1):
        if reached(mean(parts[end - WINDOW : end])):
            return end - after
    return None


def main(arguments: Sequence[str]) -> None:
    """Print a row for each policy, or for each combination of one policy's parameters."""
    names = arguments[:1] or [name for name in POLICIES if name != "linucb"]
    varied: dict[str, list[float]] = {}
    for given in arguments[1:]:
        key, _, value = given.partition("=")
        varied.setdefault(key, []).append(float(value))
    print(f"{'':52} error  (least-most)    left  back (slowest)")
    for name in names:
        for values in product(*varied.values()):
            params = dict(zip(varied, values, strict=True))
            runs = [summed_up(list(play(make_policy(name, params), seed=s))) for s in SEEDS]
            print(_row(name, params=params, runs=runs), flush=True)


def _row(name: str, *, params: Mapping[str, float], runs: Sequence[Run]) -> str:
    errors = [run.error for run in runs]
    title = " ".join([name, *(f"{key}={value:g}" for key, value in params.items())])
    return (
        f"{title:52} {mean(errors):.3f}  ({min(errors):.3f}-{max(errors):.3f})"
        f"  {_slowest(run.left for run in runs):>6} {_slowest(run.back for run in runs):>6}"
    )


def _slowest(counts: Iterator[int | None]) -> str:
    known = list(counts)
    return "never" if None in known else str(max(count for count in known if count is not None))


if __name__ == "__main__":
    main(sys.argv[1:])
