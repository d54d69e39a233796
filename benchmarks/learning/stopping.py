"""How often `track_and_stop` settles on a wrong arm, and equal arms are told apart.

Run it with `python -m benchmarks.learning.stopping [--runs 1000]`; one core, half an hour.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median

from selection.evaluation.monitoring import estimates
from selection.evaluation.monitoring.aggregates import ArmSums, added, of_round
from selection.inference import proves_best
from selection.learning.update import update_of
from selection.policies import make_policy
from selection.policies.recommendation import leader, seen
from selection.policies.statistics import EVIDENCE, State, join, join_all, learn

# Labels come, and the state is looked at, in so many at once.
LOOKED_AT_EVERY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Arms that are right in this share of the queries, for so many labels, under a policy."""

    name: str
    right: tuple[float, ...]
    labels: int
    policy: str = "track_and_stop"
    # What the arms are right in from the middle on, where they change.
    later: tuple[float, ...] = ()


TRIALS = (
    Trial(name="five arms, 0.92 to 0.60", right=(0.92, 0.85, 0.80, 0.70, 0.60), labels=10_000),
    Trial(name="two arms, 0.90 and 0.80", right=(0.90, 0.80), labels=10_000),
    Trial(name="two equal arms, 0.90", right=(0.90, 0.90), labels=3_000),
    Trial(name="two equal arms, 0.90, thompson", right=(0.9, 0.9), labels=3_000, policy="thompson"),
    Trial(name="twenty equal arms, 0.90", right=(0.90,) * 20, labels=2_000),
    Trial(
        name="two equal arms that fall together, 0.90 to 0.50, exp3",
        right=(0.9, 0.9),
        later=(0.5, 0.5),
        labels=3_000,
        policy="exp3",
    ),
)


def settled(trial: Trial, *, seed: int) -> tuple[int, int] | None:
    """Return the arm first called the best and after how many labels; None if none was."""
    luck, policy, state = Random(seed), make_policy(trial.policy, {}), State()
    arms = {f"arm{place}:1": 1.0 for place in range(len(trial.right))}
    for label in range(trial.labels):
        if label % LOOKED_AT_EVERY == 0:
            evidence = join(state, arms, statistic=EVIDENCE, warm_start=policy.warm_start)
            rewards = [seen(vector) for vector in evidence.values()]
            if proves_best(rewards, best=leader(rewards)):
                return leader(rewards), label
            statistics = join_all(
                state, arms, statistics=policy.statistics, warm_start=policy.warm_start
            )
            ready = policy.prepare(statistics, arms)
        ((arm,), (chance,)) = ready.select(luck.random())
        late = trial.later and label >= trial.labels // 2
        right = (trial.later if late else trial.right)[tuple(arms).index(arm)]
        losses = {arm: float(luck.random() >= right)}
        update = update_of(policy, arms=arms, losses=losses, propensities={arm: chance})
        state = learn(state, update)
    return None


def gains_told(arms: int, *, seed: int, labels: int = 3_000) -> bool:
    """Return whether monitoring ever shows a gain of equal arms, looked at every 100 labels."""
    luck, sums = Random(seed), dict[str, ArmSums]()
    for label in range(1, labels + 1):
        asked, reward = luck.randrange(arms), float(luck.random() < 0.9)
        told = {
            str(arm): of_round(
                earned=reward, reward=reward if arm == asked else None, propensity=1.0 / arms
            )
            for arm in range(arms)
        }
        sums = added((sums, told))
        if label % 100 == 0 and any(_told(sums[arm], arms=arms) for arm in sums):
            return True
    return False


def _told(sums: ArmSums, *, arms: int) -> bool:
    gain = estimates.gain(sums, arms=arms)
    return gain is not None and not gain.low <= 0.0 <= gain.high


def table(runs: int) -> Iterator[str]:
    yield "| arms | policy | called best | of these wrong | labels until then, median |"
    yield "|---|---|---|---|---|"
    for trial in TRIALS:
        yield row(trial, [settled(trial, seed=seed) for seed in range(runs)])
    for arms in (2, 20):
        told = sum(gains_told(arms, seed=seed) for seed in range(runs // 5))
        share = f"{told / (runs // 5):.1%}"
        yield f"| {arms} equal arms, asked alike | monitoring's gains | {share} | all | |"


def row(trial: Trial, found: Sequence[tuple[int, int] | None]) -> str:
    called = [one for one in found if one is not None]
    best = max(trial.right)
    wrong = [arm for arm, _ in called if trial.right[arm] < best or trial.right.count(best) > 1]
    labels = f"{median(label for _, label in called):,.0f}" if called else ""
    of_all = f"{len(called) / len(found):.1%}"
    return (
        f"| {trial.name} | {trial.policy} | {of_all} | {len(wrong) / len(found):.1%} | {labels} |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    for line in table(parser.parse_args().runs):
        print(line, flush=True)
