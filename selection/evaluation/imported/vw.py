"""Decisions in Vowpal Wabbit's text formats: `--cb_adf`, and `--cb` with one line for each.

Names are percent-encoded where they have what the format gives another meaning, as in our export.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from selection.evaluation.imported.decision import (
    MOST_ARMS,
    ForeignDecision,
    chance,
    cost,
    feature,
    name,
    refuse,
)

LABEL = "action:cost:probability"
# Where our own export, and nobody else, has what isn't a feature's name.
CONTEXT, FEATURES = "context", "features"


def decisions_of_adf(text: str) -> Iterator[ForeignDecision | None]:
    """Yield decisions of several lines: `shared |…`, then a line for each action, then an empty
    one. None stands for one without a label, which tells of no reward.
    """
    pending = _Pending()
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            pending.add(content, line=line)
        elif pending.lines:
            yield pending.decision()
            pending = _Pending()
    if pending.lines:
        yield pending.decision()


def decisions_of_cb(text: str) -> Iterator[ForeignDecision | None]:
    """Yield decisions of a line each. Actions are numbers from 1 on."""
    found: list[ForeignDecision | None] = []
    highest = 0
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        head, features, context = _parted(content, line=line)
        labels = [
            (_number_of(action, line=line), told)
            for action, told in (_label(token, line=line) for token in head if not _is_tag(token))
        ]
        highest = max([highest, *(action for action, _ in labels)])
        chosen = [(action, told) for action, told in labels if told is not None]
        if len(chosen) > 1:
            refuse(line, expected=f"one {LABEL}", got=content)
        if not chosen:
            found.append(None)
            continue
        ((action, (lost, probability)),) = chosen
        # Those listed are those there were; where only the chosen one is, all of the log.
        listed = dict.fromkeys(str(action) for action, _ in labels) if len(labels) > 1 else ()
        found.append(
            ForeignDecision(
                line=line,
                arms=tuple(listed),
                arm=str(action),
                propensity=probability,
                earned=lost,
                context=context,
                features=features,
            )
        )
    everything = tuple(str(action) for action in range(1, highest + 1))
    for one in found:
        yield one if one is None or one.arms else replace(one, arms=everything)


def _number_of(action: str, *, line: int) -> int:
    short = action.isascii() and action.isdigit() and len(action) <= len(str(MOST_ARMS))
    if not short or not 1 <= int(action) <= MOST_ARMS:
        refuse(line, expected=f"actions that are numbers from 1 to {MOST_ARMS}", got=action)
    return int(action)


@dataclass(slots=True)
class _Pending:
    """The lines of a decision that was begun."""

    lines: int = 0
    first: int = 0
    context: str = ""
    features: Mapping[str, float] = field(default_factory=dict)
    arms: list[str] = field(default_factory=list)
    chosen: tuple[int, str, float, float] | None = None

    def add(self, content: str, *, line: int) -> None:
        self.lines += 1
        self.first = self.first or line
        if content.partition("|")[0].strip() == "shared":
            if self.lines > 1:
                refuse(line, expected="shared at a decision's first line alone", got=content)
            _, self.features, self.context = _parted(content, line=line)
            return
        head, _, _ = _parted(content, line=line, named=False)
        arm = _action(content, line=line)
        if arm in self.arms:
            refuse(line, expected="actions that their features tell apart", got=arm)
        if len(self.arms) == MOST_ARMS:
            refuse(line, expected=f"at most {MOST_ARMS} different arms", got="one more")
        self.arms.append(arm)
        labels = [_label(token, line=line) for token in head if not _is_tag(token)]
        for _, told in labels:
            if told is None or self.chosen is not None:
                refuse(line, expected=f"one {LABEL} in a decision", got=content)
            self.chosen = (line, arm, *told)

    def decision(self) -> ForeignDecision | None:
        if not self.arms:
            refuse(self.first, expected="a line for each action after shared", got="none")
        if self.chosen is None:
            return None
        line, arm, lost, probability = self.chosen
        return ForeignDecision(
            line=line,
            arms=tuple(self.arms),
            arm=arm,
            propensity=probability,
            earned=lost,
            context=self.context,
            features=self.features,
        )


def _label(token: str, *, line: int) -> tuple[str, tuple[float, float] | None]:
    """Return an action, with its cost and its probability where they are told."""
    parts = token.split(":")
    if len(parts) == 1:
        return parts[0], None
    if len(parts) != 3:
        refuse(line, expected=LABEL, got=token)
    return parts[0], (cost(parts[1], line=line), chance(parts[2], line=line))


def _is_tag(token: str) -> bool:
    return token.startswith("'")


def _parted(
    content: str, *, line: int, named: bool = True
) -> tuple[list[str], dict[str, float], str]:
    """Return what stands before the features, they themselves and, by our own export, the context.

    Of a namespace other than ours, its name is a part of its features'.
    """
    head, bar, _ = content.partition("|")
    if not bar:
        refuse(line, expected="| and features after a label", got=content)
    features: dict[str, float] = {}
    context = ""
    for space, tokens in _spaces(content) if named else ():
        for token in tokens:
            if space == CONTEXT and token.startswith("c="):
                context = name(unquote(token[2:]), line=line, what="a context")
                continue
            told, colon, value = token.partition(":")
            full = told if space in ("", FEATURES) else f"{space}^{told}"
            known = name(unquote(full), line=line, what="a feature")
            features[known] = features.get(known, 0.0) + (
                feature(value, line=line) if colon else 1.0
            )
    return head.split(), features, context


def _action(content: str, *, line: int) -> str:
    """Return what an action is called: its features, without the namespace where there is one."""
    many = content.count("|") > 1
    words = [
        f"{space}^{token}" if many and space else token
        for space, tokens in _spaces(content)
        for token in tokens
    ]
    if not words:
        refuse(line, expected="an action with features, which tell what it is", got=content)
    return name(unquote(" ".join(words)), line=line, what="an action's features")


def _spaces(content: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the namespaces of a line, each with its features."""
    for part in content.split("|")[1:]:
        words = part.split()
        anonymous = not part or part[0].isspace()
        space = "" if anonymous or not words else words[0].partition(":")[0]
        yield space, words if anonymous else words[1:]
