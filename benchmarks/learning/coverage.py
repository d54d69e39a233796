"""`python -m benchmarks.learning.coverage`: how often what-if's intervals hold what is true.

Each policy leaves many logs; of each beginning of a log, each arm alone and all alike are judged.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.learning.play import Chosen, Served
from benchmarks.learning.worlds import Array
from selection.evaluation.logged import LoggedArm, LoggedQuery
from selection.evaluation.offpolicy.estimate import Proposal, estimate
from selection.evaluation.offpolicy.evidence import evidence_of
from selection.evaluation.offpolicy.log import log_of
from selection.evaluation.offpolicy.verdict import Verdict

MEANS = (0.92, 0.85, 0.80, 0.70, 0.60)
ARMS = tuple(f"{k}:1" for k in range(len(MEANS)))
LENGTHS = (50, 200, 1000)
POLICIES = ("exp3", "thompson", "ucb1", "epsilon_greedy")
# Arms drawn once for each person, of so many, whose chances of a right answer differ like this.
SPLIT, PEOPLE, ALIKE = "ab_split by person", 40, 4.0
EVEN = "static"
# Each of so many contexts has one of five orders of the means, and learns by itself.
IN_CONTEXTS, CONTEXTS = "exp3 in 20 contexts", 20
# All rise and fall by so much over the log, one a fifth of it behind the other.
DRIFTING, DRIFT = "epsilon_greedy while arms drift", 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=500)
    parser.add_argument(
        "--policies", nargs="+", default=[*POLICIES, EVEN, SPLIT, IN_CONTEXTS, DRIFTING]
    )
    options = parser.parse_args(arguments)
    print("| logged by | queries | held, by target | called enough | of those held |")
    print("|---|---|---|---|---|")
    for policy in options.policies:
        found: dict[tuple[int, int], list[tuple[bool, bool]]] = defaultdict(list)
        for seed in range(options.logs):
            asked = list(queries_of(policy, seed=seed))
            for length in LENGTHS:
                for target, judged in judgements(asked[:length]):
                    found[length, target].append(judged)
        for length in LENGTHS:
            print(
                _row(policy, length, [found[length, k] for k in range(len(ARMS) + 1)]), flush=True
            )
    return 0


def queries_of(policy: str, *, seed: int) -> Iterator[tuple[LoggedQuery, Array]]:
    """Yield what a policy that learns, or draws evenly or by person, leaves, and what was true."""
    luck = np.random.default_rng(seed)
    name = policy.partition(" ")[0]
    served = Served.of(name, {}, features=0) if name in POLICIES else None
    player = None if served is None else served(len(ARMS), seed=seed)
    means, owned = np.array(MEANS), luck.integers(len(ARMS), size=PEOPLE)
    own = luck.beta(ALIKE * means, ALIKE * (1.0 - means), size=(PEOPLE, len(ARMS)))
    for row in range(max(LENGTHS)):
        person = int(luck.integers(PEOPLE))
        place = int(luck.integers(CONTEXTS)) if policy == IN_CONTEXTS else 0
        context = f"c{place}" if policy == IN_CONTEXTS else ""
        if player is not None:
            chosen = player.choose(context=context, features=())
        else:
            arm = owned[person] if policy == SPLIT else luck.integers(len(ARMS))
            chosen = Chosen(int(arm), 1.0 / len(ARMS))
        true = np.roll(means, place % len(ARMS))
        if policy == DRIFTING:
            phase = row / max(LENGTHS) + np.arange(len(ARMS)) / len(ARMS)
            true = np.clip(means + DRIFT * np.sin(2.0 * np.pi * phase), 0.02, 0.98)
        right = own[person, chosen.arm] if policy == SPLIT else true[chosen.arm]
        reward = float(luck.random() < right)
        if player is not None:
            player.learn(chosen, reward, context=context, features=())
        logged = LoggedArm(ARMS[chosen.arm], chosen.chance, b"1", 1.0 - reward, reward)
        key = f"{person}" if policy == SPLIT else ""
        yield LoggedQuery(asked=(logged,), routed=ARMS, context=context, key=key), true


def judgements(
    asked: Sequence[tuple[LoggedQuery, Array]],
) -> Iterator[tuple[int, tuple[bool, bool]]]:
    """Yield, by target, whether its interval held the truth and whether it was called enough.

    The truth is that of these queries' own contexts.
    """
    evidence = evidence_of(log_of([query for query, _ in asked], arms=ARMS))
    true = np.mean([means for _, means in asked], axis=0)
    targets = [*np.eye(len(ARMS)), np.full(len(ARMS), 1.0 / len(ARMS))]
    for place, chances in enumerate(targets):
        found = estimate(evidence, Proposal(chances=chances[None]))
        if found.best is not None:
            held = found.best.low <= float(chances @ true) <= found.best.high
            yield place, (held, found.verdict is Verdict.ENOUGH)


def _row(policy: str, length: int, found: Sequence[Sequence[tuple[bool, bool]]]) -> str:
    held = [np.mean([held for held, _ in of]) for of in found if of]
    enough = [sum(enough for _, enough in of) / max(len(of), 1) for of in found]
    kept = [held for of in found for held, enough in of if enough]
    shown = f"{min(held):.1%} to {max(held):.1%}"
    among = f"{np.mean(kept):.1%}" if kept else "-"
    return f"| `{policy}` | {length:,} | {shown} | {max(enough):.0%} at most | {among} |"


if __name__ == "__main__":
    raise SystemExit(main())
