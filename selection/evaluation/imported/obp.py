"""Decisions in the table of the Open Bandit Dataset: CSV with a head, a row for each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from selection.evaluation.imported.decision import (
    ForeignDecision,
    chance,
    feature,
    name,
    number,
    refuse,
)

NEEDED = ("item_id", "click", "propensity_score")
# Ours alone.
ARM, ARMS, CONTEXT = "arm", "arms", "context"


def decisions_of_obp(text: str) -> Iterator[ForeignDecision]:
    """Yield decisions, by their time where they have one.

    Where items were shown at several positions, each with a chance of its own, a position is a
    context: an item isn't worth the same at another place.
    """
    found = list(_decisions(text))
    everything = tuple(dict.fromkeys(one.arm for one, _ in found))
    positions = {position for _, position in found}
    if all(one.at is not None for one, _ in found):
        found.sort(key=lambda each: each[0].at is not None and each[0].at.timestamp())
    for one, position in found:
        yield ForeignDecision(
            line=one.line,
            arms=one.arms or everything,
            arm=one.arm,
            propensity=one.propensity,
            earned=one.earned,
            context=one.context or (f"position {position}" if len(positions) > 1 else ""),
            features=one.features,
            at=one.at,
        )


def _decisions(text: str) -> Iterator[tuple[ForeignDecision, str]]:
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        head = list(table.fieldnames or ())
        if missing := [column for column in NEEDED if column not in head]:
            refuse(1, expected=f"the columns {', '.join(NEEDED)}", got=f"no {missing[0]}")
        for row in table:
            line = table.line_num
            if None in row or None in row.values():
                refuse(line, expected=f"{len(head)} values, as many as columns", got=len(row) - 1)
            yield _decision(row, line=line), row.get("position", "")
    except csv.Error as error:
        refuse(table.line_num + 1, expected="CSV", got=str(error))


def _decision(row: Mapping[str, str], *, line: int) -> ForeignDecision:
    asked = name(row.get(ARM) or row["item_id"], line=line, what="an item")
    if not asked:
        refuse(line, expected="an item_id", got=asked)
    arms = tuple(name(arm, line=line, what="an item") for arm in row.get(ARMS, "").split())
    if arms and asked not in arms:
        refuse(line, expected=f"{ARM} to be one of {ARMS}", got=asked)
    return ForeignDecision(
        line=line,
        arms=arms,
        arm=asked,
        propensity=chance(row["propensity_score"], line=line),
        earned=number(row["click"], line=line, what="click", low=0.0, high=1.0),
        context=name(row.get(CONTEXT, ""), line=line, what="a context"),
        features=dict(_features(row, line=line)),
        at=_time(row["timestamp"], line=line) if row.get("timestamp") else None,
    )


def _features(row: Mapping[str, str], *, line: int) -> Iterator[tuple[str, float]]:
    """Yield those of the user: numbers as such, other texts (OBD hashes them) as their own."""
    for column, value in row.items():
        if not column.startswith("user_feature") or not value:
            continue
        try:
            float(value)
        except ValueError:
            yield name(f"{column}={value}", line=line, what="a feature"), 1.0
        else:
            yield name(column, line=line, what="a feature"), feature(value, line=line)


def _time(text: str, *, line: int) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        refuse(line, expected="a timestamp such as 2019-11-24 00:00:04.101800+00:00", got=text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
