"""A log of others as queries: its formats, its bounds, and whether it tells costs or rewards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.errors import BadRequest
from selection.evaluation.imported.decision import MOST_ARMS, ForeignDecision, refuse
from selection.evaluation.imported.dsjson import decisions_of_dsjson
from selection.evaluation.imported.obp import decisions_of_obp
from selection.evaluation.imported.vw import decisions_of_adf, decisions_of_cb
from selection.evaluation.logged import LoggedArm, LoggedQuery
from selection.evaluation.rows import LEAST_PROPENSITY
from selection.policies.features import MOST_NAMED

MOST_DECISIONS = 50_000

# What programs on Windows begin a file of UTF-8 with.
BYTE_ORDER_MARK = "\ufeff"

# An arm's answer isn't logged; it answered.
ANSWERED = b"null"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFormat:
    """How decisions are read. `costs`: what they tell is a cost, or a reward below 0."""

    read: Callable[[str], Iterable[ForeignDecision | None]]
    words: str
    costs: bool = True


FORMATS = {
    "vw": LogFormat(read=decisions_of_adf, words="text for --cb_adf of Vowpal Wabbit"),
    "vw_cb": LogFormat(read=decisions_of_cb, words="text for its --cb"),
    "dsjson": LogFormat(read=decisions_of_dsjson, words="its --dsjson"),
    "obp": LogFormat(
        read=decisions_of_obp, words="a table as the Open Bandit Dataset's", costs=False
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedLog:
    """Decisions as queries, oldest first, the `features` of each by name, and all these `names`.

    `left_out` had no label.
    """

    queries: tuple[LoggedQuery, ...]
    features: tuple[Mapping[str, float], ...]
    names: tuple[str, ...]
    arms: tuple[str, ...]
    left_out: int
    since: datetime | None
    until: datetime | None


def read_log(text: str, *, form: str) -> ImportedLog:
    """Return what a log tells. Raises BadRequest, naming the line, for what it can't be."""
    how = FORMATS.get(form)
    if how is None:
        raise BadRequest(f"format: expected one of {', '.join(FORMATS)}, got {form!r}")
    found: list[ForeignDecision] = []
    left_out = 0
    arms, names = dict[str, None](), dict[str, None]()
    for one in how.read(text.removeprefix(BYTE_ORDER_MARK)):
        if one is None:
            left_out += 1
            continue
        if len(found) == MOST_DECISIONS:
            refuse(one.line, expected=f"at most {MOST_DECISIONS:,} decisions", got="one more")
        found.append(one)
        arms.update(dict.fromkeys((*one.arms, one.arm)))
        names.update(dict.fromkeys(one.features))
        if len(arms) > MOST_ARMS:
            refuse(one.line, expected=f"at most {MOST_ARMS} different arms", got="one more")
        if len(names) > MOST_NAMED:
            refuse(one.line, expected=f"features of at most {MOST_NAMED} names", got="one more")
    if not found:
        raise BadRequest("log: expected at least one decision with a label, got none")
    rewards = _rewards(found) if how.costs else [one.earned for one in found]
    times = [one.at for one in found if one.at is not None]
    return ImportedLog(
        queries=tuple(
            _query(one, reward=reward) for one, reward in zip(found, rewards, strict=True)
        ),
        features=tuple(one.features for one in found),
        names=tuple(names),
        arms=tuple(arms),
        left_out=left_out,
        since=min(times, default=None),
        until=max(times, default=None),
    )


def _rewards(found: Sequence[ForeignDecision]) -> list[float]:
    """Return rewards from 0 to 1: 1 - cost, or -cost where no cost is above 0."""
    worst = max(found, key=lambda one: one.earned)
    best = min(found, key=lambda one: one.earned)
    if worst.earned > 0.0 > best.earned:
        refuse(
            worst.line,
            expected=f"costs that are all from -1 to 0, as at line {best.line}, or all from 0 to 1",
            got=worst.earned,
        )
    if worst.earned == best.earned == 0.0:
        raise BadRequest("log: expected costs that differ: all are 0, good as well as bad")
    above = 1.0 if worst.earned > 0.0 else 0.0
    return [above - one.earned for one in found]


def _query(one: ForeignDecision, *, reward: float) -> LoggedQuery:
    chance = max(one.propensity, LEAST_PROPENSITY)
    return LoggedQuery(
        asked=(LoggedArm(one.arm, chance, ANSWERED, 1.0 - reward, reward),),
        context=one.context,
        routed=one.arms,
    )
