"""Judges combined answers by their labels, as if each way to weigh the arms had answered."""

from collections.abc import Callable, Mapping
from zlib import crc32

import msgspec

from core.errors import ModelFailed
from selection.answers.combine import VOTE, combine, margin_of
from selection.answers.json_values import decode, is_number
from selection.policies.arithmetic.answer_sums import SLOTS, AnswerSeen
from selection.policies.policy import Prepared, normalise


def answer_seen(
    outputs: Mapping[str, bytes | None],
    *,
    label: bytes | None,
    promised: bool,
    prepared: Callable[[], Prepared],
    how: str,
    judge: Callable[[bytes, bytes], float],
) -> AnswerSeen | None:
    """Return what a label says of the combined answer of the arms asked; None where there is none.

    It is the answer of now, before the label is learned, and not that of then. The answer of one
    arm needs no judging unless something is `promised`.
    """
    if not label or not (len(outputs) > 1 or promised):
        return None
    answers = {arm: output for arm, output in outputs.items() if output is not None}
    ready = prepared()
    ways = (normalise(ready.odds) if ready.odds else ready.weights, ready.hedge or ready.weights)
    margins, rewards = [], []
    for weights in ways:
        try:
            combined = combine(answers, weights=weights, asked=tuple(answers), how=how)
        except (ModelFailed, ValueError):
            return None
        margins.append(margin_of(combined, answers, prepared=ready, how=how))
        rewards.append(1.0 - judge(label, combined.output))
    texts = {label, *answers.values()} if how == VOTE else ()
    return AnswerSeen(margins, rewards, sorted({_slot(text) for text in texts}))


def _slot(text: bytes) -> int:
    """Return where a value is counted: the same for all texts of one value, in every process."""
    try:
        value = decode(text)
    except (msgspec.DecodeError, RecursionError):
        return crc32(text) % SLOTS
    if is_number(value):
        return crc32(repr(float(value)).encode()) % SLOTS
    return crc32(msgspec.json.encode(value, order="deterministic")) % SLOTS
