"""Sums by person: the person, not the label, is what evidence counts.

A person's labels of an arm are added up first; an arm's sums are of those. From them follow means
and differences of arms with their variances by cluster (`selection.inference`), without looking at
anybody again. People are hashed into `GROUPS` groups, which count as one person each. A label of
nobody in particular is a draw of its own.

A label of an arm that had the chance p counts h / p, with h = 1 / sum(1 / p) over all arms that had
one: the overlap weights of Li and Li (Annals of Applied Statistics 2019). So the means of all arms
are of the same queries, however chances move, and no label counts more than one.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

from selection.context_names import GLOBAL_CONTEXT

GROUPS = 4096
# The group of a draw of its own.
NOBODY = -1

# An arm's weights and weighted rewards over labels: of one group, or added by one label.
Pair = tuple[float, float]
# By the high and the low six bits of a group, then by arm: two small dictionaries to copy a label.
Table = Mapping[int, Mapping[int, Mapping[str, Pair]]]


class People(NamedTuple):
    """Sums of a state's arms over groups, with n their weights and s their weighted rewards.

    `sums` by arm: of n, s, n^2, n s and s^2, and the number of labels. `both` by two arms a and b
    (`pair_of`), if a group has labels of both: of n_a n_b, n_a s_b, s_a n_b and s_a s_b.
    """

    sums: Mapping[str, tuple[float, ...]] = {}
    both: Mapping[str, tuple[float, ...]] = {}
    table: Table = {}


# Their names in Redis.
SUMS, BOTH = "ppl", "both"


def groups_of(key: str, *, context: str) -> tuple[int, int]:
    """Return a person's group in the state of the context, and in that of all contexts."""
    general = _group(key or context) if key or context != GLOBAL_CONTEXT else NOBODY
    return (_group(key) if key else NOBODY), general


def _group(person: str) -> int:
    return int.from_bytes(blake2b(person.encode(), digest_size=2).digest()) % GROUPS


def pair_of(arm: str, other: str) -> str:
    """Return the name of two arms' common sums, the lesser name first."""
    return f"{arm} {other}" if arm < other else f"{other} {arm}"


def weight_of(propensity: float, *, overlap: float) -> float:
    """Return what a label counts; 1 if all arms were asked, or `overlap` (h) isn't known."""
    return min(overlap / propensity, 1.0) if overlap > 0.0 and propensity > 0.0 else 1.0


def overlap_of(chances: Iterable[float]) -> float:
    """Return h of arms of which one is drawn; 0 if there is only one to draw.

    An arm with hardly any chance is never seen beside the others.
    """
    inverse = [1.0 / chance for chance in chances if chance > 1e-9]
    return 1.0 / sum(inverse) if len(inverse) > 1 else 0.0


def begun(arms: Iterable[str]) -> People:
    """Return sums of these arms that begin anew."""
    return People(sums=dict.fromkeys(arms, (0.0,) * 6))


def count(
    people: People, counts: Mapping[str, Pair], *, routed: Iterable[str], group: int
) -> People:
    """Return the sums after a label of somebody in the group, which adds `counts` by arm.

    All begin anew when an arm joins, as what the others earned before tells nothing beside it, or
    leaves, as it may return.
    """
    routed = tuple(routed)
    if people.sums.keys() != set(routed):
        people = begun(routed)
    high, low = group >> 6, group & 63
    row = dict(people.table.get(high, {}).get(low, {}))
    sums, both = dict(people.sums), dict(people.both)
    for arm in routed:
        if arm not in counts:
            continue
        dn, ds = counts[arm]
        n, s = row.get(arm, (0.0, 0.0))
        number, total, nn, ns, ss, labels = sums[arm]
        sums[arm] = (
            number + dn,
            total + ds,
            nn + dn * (n + n + dn),
            ns + (n * ds + dn * s + dn * ds),
            ss + ds * (s + s + ds),
            labels + 1.0,
        )
        for other in routed:
            if other != arm and other in row:
                m, t = row[other]
                mixed = (dn * t, ds * m) if arm < other else (ds * m, dn * t)
                pair = pair_of(arm, other)
                a, b, c, d = both.get(pair, (0.0,) * 4)
                both[pair] = (a + dn * m, b + mixed[0], c + mixed[1], d + ds * t)
        row[arm] = (n + dn, s + ds)
    if group == NOBODY:
        return People(sums, both, people.table)
    kept = {arm: row[arm] for arm in routed if arm in row}
    rows = {**people.table.get(high, {}), low: kept}
    return People(sums, both, {**people.table, high: rows})
