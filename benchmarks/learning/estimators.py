"""`python -m benchmarks.learning.estimators`: what other estimators would make of logs.

Rows weighted by how much chance the target had in them, after Hadad et al. 2021, and a reward model
that uses features, each beside what what-if does.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.learning.coverage import ARMS, DRIFTING, LENGTHS, queries_of
from benchmarks.learning.worlds import Array, linear
from selection.evaluation.logged import LoggedQuery
from selection.evaluation.offpolicy.estimate import Proposal, estimate
from selection.evaluation.offpolicy.evidence import Evidence, evidence_of
from selection.evaluation.offpolicy.log import Flags, log_of

POLICIES = ("epsilon_greedy", "thompson", DRIFTING)
LEAST_CHANCE = 1e-4
# Standard errors at each side of an estimate, as what-if's intervals have.
ERRORS = 2.4
FEATURES, RIDGE, FIRST_FIT, REFIT_AFTER = 5, 1.0, 16, 1.25


class Judged(NamedTuple):
    """How far an estimate was off, the width of its interval, and whether that held."""

    off: float
    width: float
    held: bool


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=500)
    parser.add_argument("--policies", nargs="*", default=list(POLICIES))
    options = parser.parse_args(arguments)
    for line in (
        *_table("logged by", of_weights(options.policies, logs=options.logs)),
        "",
        *_table("rewards", of_features(logs=options.logs)),
    ):
        print(line, flush=True)
    return 0


Row = tuple[str, int, str, list[Judged], list[Judged]]


def of_weights(policies: Sequence[str], *, logs: int) -> Iterator[Row]:
    """Yield what-if's estimate of arms, and one whose rows are weighted."""
    for policy in policies:
        plain, weighted = defaultdict[str, list[Judged]](list), defaultdict[str, list[Judged]](list)
        for seed in range(logs):
            asked = list(queries_of(policy, seed=seed))
            evidence = evidence_of_queries(asked)
            true = np.mean([means for _, means in asked], axis=0)
            for arm in (0, 2, 4):
                chances = np.eye(len(ARMS))[arm]
                for proposal, found in (
                    (Proposal(chances=chances[None]), plain),
                    (weighed(evidence, chances=chances), weighted),
                ):
                    if (best := estimate(evidence, proposal).best) is not None:
                        held = best.low <= true[arm] <= best.high
                        off = best.reward - float(true[arm])
                        found[f"arm {arm + 1}"].append(Judged(off, best.high - best.low, held))
        for target in plain:
            yield policy, max(LENGTHS), target, plain[target], weighted[target]


def evidence_of_queries(asked: Sequence[tuple[LoggedQuery, Array]]) -> Evidence:
    return evidence_of(log_of([query for query, _ in asked], arms=ARMS))


def weighed(evidence: Evidence, *, chances: Array) -> Proposal:
    """Return the target with the weights that keep the variance of rows alike."""
    known = np.maximum(evidence.chances, LEAST_CHANCE)
    weights = 1.0 / np.sqrt(np.sum(chances**2 / known, axis=1))
    whole = np.tile(chances, (len(weights), 1))
    return Proposal(chances=whole, pace=weights / np.mean(weights))


def of_features(*, logs: int) -> Iterator[Row]:
    """Yield doubly robust estimates by means of arms, and by ridge regressions on features."""
    world = linear(len(ARMS), features=FEATURES)
    for rewards in ("right or wrong", "graded"):
        for rows in (200, 1000):
            found = [_by_model(world, rows, rewards, seed) for seed in range(logs)]
            plain, fitted = zip(*found, strict=True)
            yield rewards, rows, "arm 1", list(plain), list(fitted)


def _by_model(world: Array, rows: int, rewards: str, seed: int) -> tuple[Judged, Judged]:
    luck = np.random.default_rng(seed)
    features = luck.uniform(-1.0, 1.0, (rows, FEATURES))
    means = world[:, 0] + features @ world[:, 1:].T
    arms = luck.integers(len(ARMS), size=rows)
    mean = means[np.arange(rows), arms]
    if rewards == "graded":
        earned = np.clip(mean + 0.05 * luck.normal(size=rows), 0.0, 1.0)
    else:
        earned = (luck.random(rows) < mean).astype(np.float64)
    first = arms == 0
    judged = []
    for expected in (means_before(first, earned), fitted_before(first, earned, features)):
        terms = expected + np.where(first, len(ARMS) * (earned - expected), 0.0)
        off = float(np.mean(terms) - np.mean(means[:, 0]))
        half = ERRORS * float(np.std(terms, ddof=1)) / rows**0.5
        judged.append(Judged(off, 2.0 * half, abs(off) <= half))
    return judged[0], judged[1]


def means_before(asked: Flags, earned: Array) -> Array:
    """Return the mean reward of the rows that asked the arm, before each row."""
    count: Array = np.cumsum(asked) - asked
    total: Array = np.cumsum(asked * earned) - asked * earned
    return np.asarray((total + 0.5) / (count + 1.0))


def fitted_before(asked: Flags, earned: Array, features: Array) -> Array:
    """Return what a ridge regression on earlier rows promises, fitted anew now and then."""
    expected, start = np.full(len(earned), 0.5), FIRST_FIT
    while start < len(earned):
        end = min(len(earned), int(start * REFIT_AFTER) + 1)
        known = np.flatnonzero(asked[:start])
        mean = (np.sum(earned[known]) + 0.5) / (len(known) + 1.0)
        about = features[known]
        slopes = np.linalg.solve(
            about.T @ about + RIDGE * np.eye(FEATURES), about.T @ (earned[known] - mean)
        )
        expected[start:end] = np.clip(mean + features[start:end] @ slopes, 0.0, 1.0)
        start = end
    return expected


def _table(head: str, rows: Iterator[Row]) -> Iterator[str]:
    yield f"| {head} | queries | target | held | width | off, root mean square |"
    yield "|---|---|---|---|---|---|"
    for name, length, target, plain, other in rows:
        cells = [
            f"{_held(plain):.1%}, {_held(other):.1%}",
            f"{_width(plain):.3f}, {_width(other):.3f}",
            f"{_off(plain):.3f}, {_off(other):.3f}",
        ]
        yield f"| {name} | {length:,} | {target} | {' | '.join(cells)} |"


def _held(judged: Sequence[Judged]) -> float:
    return float(np.mean([one.held for one in judged]))


def _width(judged: Sequence[Judged]) -> float:
    return float(np.mean([one.width for one in judged]))


def _off(judged: Sequence[Judged]) -> float:
    return float(np.sqrt(np.mean([one.off**2 for one in judged])))


if __name__ == "__main__":
    raise SystemExit(main())
