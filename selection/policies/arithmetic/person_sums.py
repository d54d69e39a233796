"""Sums by person: the person, not the label, is what evidence counts.

A person's labels of an arm are added up first; an arm's sums are of those. From them follow means
and differences of arms with their variances by cluster (`selection.inference`), without looking at
anybody again. People are hashed into 4,096 groups (`sums.groups_of`), which count as one person
each. A label of nobody in particular is a draw of its own.

A person's rewards under a single arm, before another one joined, become their past. It tells what
they would have earned of any arm, and takes that out of the variance (CUPED: Deng, Xu, Kohavi and
Walker 2013).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

# The group of a draw of its own.
NOBODY = -1
# Labels that everybody's mean counts in a person's past, as many as tell a spread of 0.11 from luck
# where 0.85 are right.
PRIOR = 10.0

# An arm's weights and weighted rewards over labels: of one group, or added by one label.
Pair = tuple[float, float]
# By the high and the low six bits of a group, then by arm: two small dictionaries to copy a label.
# Behind the name `PAST`: how many labels the past has, and how far it is above everybody's.
Table = Mapping[int, Mapping[int, Mapping[str, Pair]]]
PAST = ""


class People(NamedTuple):
    """Sums of a state's arms over groups, with n their weights, s their weighted rewards, x pasts.

    `sums` by arm: of n, s, n^2, n s, s^2, the number of labels, n x, n^2 x, n^2 x^2 and n s x.
    `both` by two arms a and b, the lesser name first, if a group has labels of both: of n_a n_b,
    n_a s_b, s_a n_b, s_a s_b, n_a n_b x, n_a n_b x^2, n_a s_b x and s_a n_b x.
    """

    sums: Mapping[str, tuple[float, ...]] = {}
    both: Mapping[str, tuple[float, ...]] = {}
    table: Table = {}


# Their names in Redis, and how many numbers each has.
SUMS, BOTH = "person", "couple"
SUMS_WIDTH, BOTH_WIDTH = 10, 8


def begun(arms: Iterable[str], *, former: People) -> People:
    """Return sums of these arms that begin anew, with what is past of people."""
    sums = dict.fromkeys(arms, (0.0,) * SUMS_WIDTH)
    single, mean = None, 0.0
    if len(former.sums) == 1:
        ((single, (number, total, *_)),) = former.sums.items()
        mean = total / number if number > 0.0 else 0.0
    table: dict[int, dict[int, Mapping[str, Pair]]] = {}
    for high, rows in former.table.items():
        for low, row in rows.items():
            n, s = row.get(single, (0.0, 0.0)) if single is not None else (0.0, 0.0)
            past = row.get(PAST, (0.0, 0.0))
            # The longer past tells more.
            if n > past[0]:
                past = (n, (s - mean * n) / (n + PRIOR))
            if past[0] > 0.0:
                table.setdefault(high, {})[low] = {PAST: past}
    return People(sums=sums, table=table)


def count(
    people: People, counts: Mapping[str, Pair], *, routed: Iterable[str], group: int
) -> People:
    """Return the sums after a label of somebody in the group, which adds `counts` by arm.

    All begin anew when an arm joins, as what the others earned before tells nothing beside it, or
    leaves, as it may return.
    """
    routed = tuple(routed)
    if people.sums.keys() != set(routed):
        people = begun(routed, former=people)
    high, low = group >> 6, group & 63
    row = dict(people.table.get(high, {}).get(low, {}))
    sums, both = dict(people.sums), dict(people.both)
    _, past = row.get(PAST, (0.0, 0.0))
    for arm in routed:
        if arm not in counts:
            continue
        dn, ds = counts[arm]
        n, s = row.get(arm, (0.0, 0.0))
        number, total, nn, ns, ss, labels, nx, nnx, nnxx, nsx = sums[arm]
        dnn, dns = dn * (n + n + dn), n * ds + dn * s + dn * ds
        sums[arm] = (
            number + dn,
            total + ds,
            nn + dnn,
            ns + dns,
            ss + ds * (s + s + ds),
            labels + 1.0,
            nx + dn * past,
            nnx + dnn * past,
            nnxx + dnn * past * past,
            nsx + dns * past,
        )
        for other in routed:
            if other != arm and other in row:
                m, t = row[other]
                pair, x, y = f"{arm} {other}", dn * t, ds * m
                if arm > other:
                    pair, x, y = f"{other} {arm}", y, x
                a, b, c, d, e, f, g, h = both.get(pair, (0.0,) * BOTH_WIDTH)
                both[pair] = (
                    a + dn * m,
                    b + x,
                    c + y,
                    d + ds * t,
                    e + dn * m * past,
                    f + dn * m * past * past,
                    g + x * past,
                    h + y * past,
                )
        row[arm] = (n + dn, s + ds)
    if group == NOBODY:
        return People(sums, both, people.table)
    kept = {arm: row[arm] for arm in (PAST, *routed) if arm in row}
    rows = {**people.table.get(high, {}), low: kept}
    return People(sums, both, {**people.table, high: rows})


def slope_of(sums: Iterable[Sequence[float]]) -> float:
    """Return by how much people earn more if their past was better by one, of all arms together."""
    product = square = 0.0
    for number, total, nn, ns, _, _, nx, nnx, nnxx, nsx in sums:
        if number > 0.0:
            mean, past = total / number, nx / number
            product += nsx - past * ns - mean * nnx + mean * past * nn
            square += nnxx - 2.0 * past * nnx + past * past * nn
    return product / square if square > 1e-9 else 0.0


def without_past(sums: Sequence[float], *, slope: float) -> tuple[float, ...]:
    """Return an arm's first six sums, of rewards less what `slope` says of people's pasts."""
    number, total, nn, ns, ss, labels, nx, nnx, nnxx, nsx = sums
    return (
        number,
        total - slope * nx,
        nn,
        ns - slope * nnx,
        ss - slope * (2.0 * nsx - slope * nnxx),
        labels,
    )


def both_without_past(both: Sequence[float], *, slope: float) -> tuple[float, ...]:
    """Return the first four sums of two arms, of such rewards."""
    nn, ns, sn, ss, nnx, nnxx, nsx, snx = both
    return (nn, ns - slope * nnx, sn - slope * nnx, ss - slope * (nsx + snx - slope * nnxx))
