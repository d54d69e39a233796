"""Decisions in Vowpal Wabbit's dsjson, one JSON object a line, as Personalizer and others log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from selection.evaluation.imported.decision import (
    ForeignDecision,
    chance,
    cost,
    feature,
    name,
    refuse,
)

COST, PROBABILITY, INDEX = "_label_cost", "_label_probability", "_labelIndex"
ACTIONS = "_multi"
# How deep features may lie in objects.
DEEPEST = 8


def decisions_of_dsjson(text: str) -> Iterator[ForeignDecision | None]:
    """Yield decisions; None stands for one that says that nothing is to be learned from it."""
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            event = msgspec.json.decode(content)
        except (msgspec.DecodeError, RecursionError):
            refuse(line, expected="a JSON object", got=content)
        if not isinstance(event, dict):
            refuse(line, expected="a JSON object", got=event)
        yield None if event.get("_skipLearn") is True else _decision(event, line=line)


def _decision(event: Mapping[str, Any], *, line: int) -> ForeignDecision:
    for needed in (COST, PROBABILITY, "c"):
        if needed not in event:
            refuse(line, expected=f"{needed} in an event", got=list(event))
    if event.get("pdrop"):
        refuse(line, expected="a log of which no events were dropped (pdrop 0)", got=event["pdrop"])
    shared = event["c"]
    actions = shared.get(ACTIONS) if isinstance(shared, dict) else None
    if not isinstance(actions, list) or not actions:
        refuse(line, expected=f"c with its actions in {ACTIONS}", got=shared)
    arms = tuple(_arm(action, line=line) for action in actions)
    if len(set(arms)) < len(arms):
        refuse(line, expected="actions that their features tell apart", got=arms)
    about = {key: value for key, value in shared.items() if not key.startswith("_")}
    return ForeignDecision(
        line=line,
        arms=arms,
        arm=arms[_chosen(event, count=len(arms), line=line)],
        propensity=chance(event[PROBABILITY], line=line),
        earned=cost(event[COST], line=line),
        features=dict(_features(about, line=line)),
        at=_time(event.get("Timestamp"), line=line),
    )


def _chosen(event: Mapping[str, Any], *, count: int, line: int) -> int:
    """Return the place of the action that was chosen: by itself, or first of those in `a`."""
    listed = event.get("a")
    first = listed[0] if isinstance(listed, list) and listed else None
    place = event[INDEX] if INDEX in event else first - 1 if isinstance(first, int) else None
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < count:
        refuse(line, expected=f"{INDEX}, or a, to name one of {count} actions", got=place)
    return place


def _arm(action: Any, *, line: int) -> str:
    """Return what an action is called: by its tag, or else by its features."""
    if not isinstance(action, dict):
        refuse(line, expected=f"objects in {ACTIONS}", got=action)
    if isinstance(tag := action.get("_tag"), str) and tag:
        return name(tag, line=line, what="a tag")
    about = {key: value for key, value in action.items() if not key.startswith("_")}
    told = [key if x == 1.0 else f"{key}:{x:g}" for key, x in _features(about, line=line)]
    if not told:
        refuse(line, expected="an action with a _tag or features", got=action)
    return name(" ".join(told), line=line, what="an action's features")


def _features(value: Any, *, line: int, path: str = "", depth: int = 0) -> Iterator[Any]:
    """Yield names and values: of objects by their path, of arrays by place, of texts by value."""
    if depth > DEEPEST:
        refuse(line, expected=f"features in at most {DEEPEST} objects", got=path)
    if isinstance(value, dict):
        for key, inner in value.items():
            deeper = f"{path}.{key}" if path else key
            yield from _features(inner, line=line, path=deeper, depth=depth + 1)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            deeper = f"{path}.{place}"
            yield from _features(inner, line=line, path=deeper, depth=depth + 1)
    elif isinstance(value, str):
        yield name(f"{path}={value}", line=line, what="a feature"), 1.0
    elif isinstance(value, bool):
        if value:
            yield name(path, line=line, what="a feature"), 1.0
    elif value is not None:
        yield name(path, line=line, what="a feature"), feature(value, line=line)


def _time(text: object, *, line: int) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        refuse(line, expected="a Timestamp such as 2026-01-31T12:00:00Z", got=text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
