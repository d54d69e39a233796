"""Sums by arm that feedback adds to, which fade, and which newcomers inherit (§5).

This module does in pure arithmetic what the script of `counting.py` does atomically in Redis,
number by number; replaying feedback with it gives the same state.
"""

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple

from selection.context_names import GLOBAL_CONTEXT
from selection.policies.arithmetic import person_sums
from selection.policies.arithmetic.person_sums import NOBODY, Pair, People, Table

Vector = tuple[float, ...]
Statistics = Mapping[str, Vector]


class StatisticKind(NamedTuple):
    """One kind of sums: `width` numbers an arm, under `name` in Redis.

    The first is how much was observed, unless `relative`: only differences between arms matter, as
    with log-weights, and a newcomer joins at the mean. `keeps`: by what each number is multiplied,
    whatever the policy's own fading. `by_arm`: the last so many numbers fade only with feedback of
    the arm itself. `levelled`: sums as those of `LEVELS`. `evidence`: sums as those of `EVIDENCE`,
    which begin anew if an arm has changed; newcomers have none. `pairs`: of two arms. `everybody`:
    kept in everybody's state alone; such kinds come last in an update, and newcomers have none.
    """

    name: str
    width: int
    relative: bool = False
    keeps: tuple[float, ...] = ()
    by_arm: int = 0
    evidence: bool = False
    levelled: bool = False
    pairs: bool = False
    everybody: bool = False


LOG_WEIGHTS = StatisticKind("log", 1, relative=True)
# Observations, their rewards, their rewards squared.
REWARDS = StatisticKind("rew", 3)
# In everybody's state alone: labels with an earlier one of their arm and context, the sums of the
# mean of the earlier rewards and of their own, and of the product of both. They tell how much
# contexts differ (`selection.policies.arithmetic.shrinkage`), which changes more slowly than what
# is best there. In release 0.1.0 ("ctx") a label counted as often as there were earlier ones, so
# that one user with half of the traffic decided it.
PAIRS = StatisticKind("pairs", 4, keeps=(0.9999,) * 4)
# Evidence of an arm (`selection.inference`): rewards seen and their sum, since it joined or
# any was found changed; both again of lately, fading; how often that was; and since when they have
# been counted, in milliseconds since 1970 (0: not known).
LATELY = 0.995
EVIDENCE = StatisticKind(
    "ev", 6, keeps=(1.0, 1.0, LATELY, LATELY, 1.0, 1.0), by_arm=6, evidence=True
)
# Sums by person, which the functions of `person_sums` add to: those of an arm, and of two.
PEOPLE = StatisticKind(person_sums.SUMS, person_sums.SUMS_WIDTH, evidence=True)
BOTH = StatisticKind(person_sums.BOTH, person_sums.BOTH_WIDTH, evidence=True, pairs=True)
# An arm beside the others of the same time (`memory_choice.py`): labels of
# lately and their rewards, then labels and by how much each was above what all earned lately.
LEVELS = StatisticKind(
    "lev", 4, keeps=(1.0 - 1.0 / 30.0,) * 2 + (1.0 - 1.0 / 1000.0,) * 2, levelled=True
)
# An arm's rewards in memories of several lengths: the first never fades, the others so that the
# last 3,000 to 30 labels of all arms count, and the last one by labels of the arm itself. Of each:
# the weights of its labels, their rewards, and the squares of the weights, which tell how many
# labels it is worth.
LENGTHS = (3000.0, 1000.0, 300.0, 100.0, 30.0)
KEEPS = (1.0, *(1.0 - 1.0 / length for length in (*LENGTHS, 4.0)))
MEMORIES = StatisticKind(
    "mem", 3 * len(KEEPS), keeps=tuple(x for k in KEEPS for x in (k, k, k * k)), by_arm=3
)
# An arm has changed where its mean of lately, of so many rewards at least, is this many (squared)
# standard errors from that of all. It raised no false alarm in five million rewards, where one that
# falls from 0.92 to 0.1 is found after 22 rewards, to 0.8 after 230 (medians of 40 runs).
CHANGED_FROM = 30.0
CHANGED = 20.0


@dataclass(frozen=True, slots=True)
class State:
    """The state of one context of an application: sums by kind and arm (`model:version`).

    `table` has the sums of each group of people, behind those of `people`.
    """

    sums: Mapping[str, Statistics] = field(default_factory=dict)
    table: Table = field(default_factory=dict)

    def of(self, statistic: StatisticKind) -> Statistics:
        return self.sums.get(statistic.name, {})

    @property
    def people(self) -> People:
        return People(self.of(PEOPLE), self.of(BOTH), self.table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """The change that one piece of feedback makes to a state.

    What is known of `arms` fades, new ones join first, then `deltas` are added. `routed` are those
    that queries choose among, `observed` those that count one more feedback. `counts` are weights
    and weighted rewards of routed arms, for the sums of whoever has the `key`.
    """

    arms: tuple[str, ...]
    routed: tuple[str, ...]
    observed: tuple[str, ...]
    deltas: Mapping[StatisticKind, Statistics]
    keep: float
    warm_start: float
    at_ms: int = 0
    key: str = ""
    counts: Mapping[str, Pair] = field(default_factory=dict)


def learn_in(context: str, update: Update, *, states: Mapping[str, State]) -> dict[str, State]:
    """Return the states, by context, that feedback in one of them has changed."""
    own, general = states.get(context, State()), states.get(GLOBAL_CONTEXT, State())
    group, everybodys = groups_of(update.key, context=context)
    if context == GLOBAL_CONTEXT:
        return {context: learn(own, update, group=group)}
    mine = {kind: deltas for kind, deltas in update.deltas.items() if not kind.everybody}
    return {
        context: learn(own, replace(update, deltas=mine), group=group),
        GLOBAL_CONTEXT: learn(general, _paired(update, own=own), group=everybodys),
    }


def groups_of(key: str, *, context: str) -> tuple[int, int]:
    """Return a person's group in the state of the context, and in that of all contexts."""
    person = key or context  # nobody in particular in the global context without a key
    group = int.from_bytes(blake2b(person.encode(), digest_size=2).digest()) % 4096
    return group if key else NOBODY, group if person else NOBODY


def learn(state: State, update: Update, *, group: int = NOBODY) -> State:
    """Return one state after the update, by somebody in the group."""
    sums, anew = dict(state.sums), False
    for statistic, deltas in update.deltas.items():
        joined = join(
            state,
            update.arms,
            statistic=statistic,
            warm_start=update.warm_start,
            routed=update.routed,
        )
        moved = _moved(joined, deltas, statistic=statistic, keep=update.keep, at_ms=update.at_ms)
        sums[statistic.name] = {**state.of(statistic), **moved}
        if statistic.evidence:
            anew = any(moved[arm][4] > vector[4] for arm, vector in joined.items())
    known = state.people
    if anew:
        known = person_sums.begun(update.routed, former=known)
    elif update.counts:
        known = person_sums.count(known, update.counts, routed=update.routed, group=group)
    for name, of in ((person_sums.SUMS, known.sums), (person_sums.BOTH, known.both)):
        sums.pop(name, None)
        if of:
            sums[name] = of
    return State(sums, known.table)


def _paired(update: Update, *, own: State) -> Update:
    """Return the update with pairs of each reward and the mean before it in its arm and context."""
    rewarded = update.deltas.get(REWARDS)
    if not rewarded:
        return update
    before = join(
        own, update.arms, statistic=REWARDS, warm_start=update.warm_start, routed=update.routed
    )
    pairs = {}
    for arm, (_, reward, _) in rewarded.items():
        mean = mean_reward(before[arm])
        pairs[arm] = (0.0,) * 4 if mean is None else (1.0, mean, reward, mean * reward)
    return replace(update, deltas={**update.deltas, PAIRS: pairs})


def _moved(
    joined: Statistics, deltas: Statistics, *, statistic: StatisticKind, keep: float, at_ms: int
) -> dict[str, Vector]:
    """Return the sums faded, with what feedback adds to them."""
    if statistic.levelled:
        deltas = _above_level(deltas, joined=joined)
    keeps = statistic.keeps or (keep,) * statistic.width
    # Factors by which an arm's numbers fade with feedback of others.
    still = (*keeps[: statistic.width - statistic.by_arm], *(1.0,) * statistic.by_arm)
    moved: dict[str, Vector] = {}
    for arm, vector in joined.items():
        added = deltas.get(arm)
        if added is not None:
            # A list: generators take half as long again, and a replay does little else.
            moved[arm] = tuple([x * k + d for x, k, d in zip(vector, keeps, added, strict=True)])
        elif statistic.by_arm < statistic.width:
            # Nothing is added, which makes 0.0 of -0.0, as the script does.
            moved[arm] = tuple([x * k + 0.0 for x, k in zip(vector, still, strict=True)])
        else:
            moved[arm] = vector
    return _rechecked(moved, rewarded=deltas, at_ms=at_ms) if statistic.evidence else moved


def _above_level(deltas: Statistics, *, joined: Statistics) -> Statistics:
    """Return what feedback adds, the last number above the mean reward of all arms lately."""
    labels = rewarded = 0.0
    for vector in joined.values():  # one by one, as the script does
        labels += vector[0]
        rewarded += vector[1]
    return {
        arm: (*vector[:-1], vector[-1] - rewarded / labels if labels > 0.0 else 0.0)
        for arm, vector in deltas.items()
    }


def _rechecked(moved: Statistics, *, rewarded: Container[str], at_ms: int) -> dict[str, Vector]:
    """Return evidence as it goes on, or as all of it begins anew where an arm has changed."""
    if any(arm in rewarded and _has_changed(vector) for arm, vector in moved.items()):
        return {
            arm: (0.0, 0.0, 0.0, 0.0, vector[4] + 1.0, float(at_ms))
            for arm, vector in moved.items()
        }
    return {
        arm: (*vector[:5], vector[5] or float(at_ms)) if arm in rewarded else vector
        for arm, vector in moved.items()
    }


def _has_changed(vector: Vector) -> bool:
    """Return whether the mean of lately is too far from the mean of all (Roberts 1959).

    `equal` is how many rewards that count alike lately's are worth. The variance is the larger one
    of both means, so that arms which hardly ever fail raise no false alarm.
    """
    seen, total, lately, of_lately, _, _ = vector
    if lately < CHANGED_FROM:
        return False
    mean, recent = total / seen, of_lately / lately
    equal = lately * (1.0 + LATELY) / (2.0 - lately * (1.0 - LATELY))
    variance = max(mean * (1.0 - mean), recent * (1.0 - recent)) + 1.0 / equal
    apart = recent - mean
    return apart * apart > CHANGED * variance * (1.0 / equal - 1.0 / seen)


def join(
    state: State,
    arms: Iterable[str],
    *,
    statistic: StatisticKind,
    warm_start: float,
    routed: Iterable[str] = (),
) -> dict[str, Vector]:
    """Return the sums of each arm, newcomers included; those of pairs with all arms in a row."""
    arms = tuple(arms)
    own = state.of(statistic)
    if statistic.pairs:
        return _in_rows(own, arms)
    if all(arm in own for arm in arms):
        return {arm: own[arm] for arm in arms}
    chosen_among = frozenset(routed) or frozenset(arms)
    known = [own[arm] for arm in arms if arm in own and arm in chosen_among]
    mean = 0.0
    if statistic.relative and known:
        total = 0.0
        for vector in known:  # one by one, as the script does
            total += vector[0]
        mean = total / len(known)
    return {
        arm: own[arm]
        if arm in own
        else _inherited(
            arm, own, routed=chosen_among, mean=mean, statistic=statistic, warm_start=warm_start
        )
        for arm in arms
    }


def _in_rows(own: Statistics, arms: Sequence[str]) -> dict[str, Vector]:
    """Return the sums of each arm with all arms in turn, its own numbers before the other's."""
    width = person_sums.BOTH_WIDTH
    place = {arm: width * k for k, arm in enumerate(arms)}
    rows = {arm: [0.0] * (width * len(arms)) for arm in arms}
    for pair, (nn, ns, sn, ss, nnx, nnxx, nsx, snx) in own.items():
        arm, _, other = pair.partition(" ")
        if arm in place and other in place:
            at, back = place[other], place[arm]
            rows[arm][at : at + width] = (nn, ns, sn, ss, nnx, nnxx, nsx, snx)
            rows[other][back : back + width] = (nn, sn, ns, ss, nnx, nnxx, snx, nsx)
    return {arm: tuple(row) for arm, row in rows.items()}


def join_all(
    state: State, arms: Iterable[str], *, statistics: Iterable[StatisticKind], warm_start: float
) -> dict[str, Vector]:
    """Return the sums of each arm as `join` does, one kind's behind the other's."""
    arms = tuple(arms)
    kinds = [join(state, arms, statistic=kind, warm_start=warm_start) for kind in statistics]
    if len(kinds) == 1:
        # Regressions have hundreds of numbers, which would be copied one by one.
        return kinds[0]
    return {arm: tuple(chain.from_iterable([kind[arm] for kind in kinds])) for arm in arms}


def predecessor(arm: str, own: Statistics, *, routed: Container[str]) -> str | None:
    """Return the version of the same model, no longer routed, of which most is known."""
    model = arm.rpartition(":")[0] + ":"
    former = [other for other in own if other.startswith(model) and other not in routed]
    # By the first number: how much was observed, or how little it was wrong.
    return max(former, key=lambda other: (own[other][0], other), default=None)


def _inherited(
    arm: str,
    own: Statistics,
    *,
    routed: Container[str],
    mean: float,
    statistic: StatisticKind,
    warm_start: float,
) -> Vector:
    alone = statistic.evidence or statistic.everybody
    former = None if alone else predecessor(arm, own, routed=routed)
    if former is None:
        return (mean,) * statistic.width
    return tuple(mean + warm_start * (x - mean) for x in own[former])


def rewards(losses: Mapping[str, float]) -> dict[str, Vector]:
    """Return what losses in [0, 1] add to the family `REWARDS`."""
    return {arm: (1.0, 1.0 - loss, (1.0 - loss) ** 2) for arm, loss in losses.items()}


def evidence(losses: Mapping[str, float]) -> dict[str, Vector]:
    """Return what losses in [0, 1] add to the family `EVIDENCE`."""
    return {arm: (1.0, 1.0 - loss, 1.0, 1.0 - loss, 0.0, 0.0) for arm, loss in losses.items()}


def memories(losses: Mapping[str, float]) -> dict[str, Vector]:
    """Return what losses in [0, 1] add to the family `MEMORIES`."""
    return {arm: (1.0, 1.0 - loss, 1.0) * len(KEEPS) for arm, loss in losses.items()}


def beside_level(losses: Mapping[str, float]) -> dict[str, Vector]:
    """Return what losses in [0, 1] add to the family `LEVELS`."""
    return {arm: (1.0, 1.0 - loss, 1.0, 1.0 - loss) for arm, loss in losses.items()}


def mean_reward(vector: Vector) -> float | None:
    """Return the mean of the rewards seen, None where there is none."""
    return vector[1] / vector[0] if vector[0] > 0.0 and math.isfinite(vector[0]) else None
