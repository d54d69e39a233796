"""Sums by person: the person, not the label, is what evidence counts.

A person's labels of an arm are added up first; an arm's sums are of those. From them follow means
and differences of arms with their variances by cluster (`selection.inference`), without looking at
anybody again. People are hashed into 4,096 groups (`sums.groups_of`), which count as one person
each. A label of nobody in particular is a draw of its own.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

# The group of a draw of its own.
NOBODY = -1

# An arm's weights and weighted rewards over labels: of one group, or added by one label.
Pair = tuple[float, float]
# By the high and the low six bits of a group, then by arm: two small dictionaries to copy a label.
Table = Mapping[int, Mapping[int, Mapping[str, Pair]]]


class People(NamedTuple):
    """Sums of a state's arms over groups, with n their weights and s their weighted rewards.

    `sums` by arm: of n, s, n^2, n s and s^2, and the number of labels. `both` by two arms a and b,
    the lesser name first, if a group has labels of both: of n_a n_b, n_a s_b, s_a n_b and s_a s_b.
    """

    sums: Mapping[str, tuple[float, ...]] = {}
    both: Mapping[str, tuple[float, ...]] = {}
    table: Table = {}


# Their names in Redis.
SUMS, BOTH = "ppl", "both"


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
                pair, x, y = f"{arm} {other}", dn * t, ds * m
                if arm > other:
                    pair, x, y = f"{other} {arm}", y, x
                a, b, c, d = both.get(pair, (0.0,) * 4)
                both[pair] = (a + dn * m, b + x, c + y, d + ds * t)
        row[arm] = (n + dn, s + ds)
    if group == NOBODY:
        return People(sums, both, people.table)
    kept = {arm: row[arm] for arm in routed if arm in row}
    rows = {**people.table.get(high, {}), low: kept}
    return People(sums, both, {**people.table, high: rows})
