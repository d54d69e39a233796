"""Combines what the arms answered into one output, or objects to giving it (§5.2).

`vote` is the value with the most weight behind it; confidence is the share of the weight of all
asked arms that agrees. `scores` is the class with the highest weighted mean of scores; confidence
is the share whose own best class it is. `mean` and `median` are weighted, of arrays item by item;
confidence is the share that answered.

If a number or scores are missing, the arm's average answer stands in for them (§5.2.2), which
agrees with nothing. The result doesn't depend on the order of answers or arms.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from core.errors import ModelFailed
from selection.answers.imputation import Averages, Values, shape
from selection.answers.json_values import best_class, class_scores, decode, numbers, same_value_key
from selection.policies.arithmetic.answer_sums import KNOTS
from selection.policies.policy import Prepared, normalise

VOTE, SCORES, MEAN, MEDIAN = "vote", "scores", "mean", "median"
# Ways whose outputs are classes, right or wrong.
CLASSES = (VOTE, SCORES)


class Combined(NamedTuple):
    """One output as JSON text, and the confidence in it, from 0 to 1."""

    output: bytes
    confidence: float


# Takes what each arm answered, decoded, and each one's share of their trust; returns an output
# that JSON can hold and the confidence in it, from 0 to 1, as if every arm asked had answered.
CustomCombine = Callable[[Mapping[str, Any], Mapping[str, float]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Answers of the arms asked, as JSON text; `arrived` are those with an answer, in order."""

    predictions: Mapping[str, bytes]
    weights: Mapping[str, float]
    asked: Sequence[str]
    arrived: Sequence[str]
    averages: Averages | None

    def share(self, arms: Sequence[str]) -> float:
        return _share(arms, weights=self.weights, asked=self.asked)


def combine(
    predictions: Mapping[str, bytes],
    *,
    weights: Mapping[str, float],
    asked: Sequence[str],
    how: str = VOTE,
    averages: Averages | None = None,
) -> Combined:
    """Combine the JSON texts of the arms that answered; at least one of `asked` must have.

    Raises `ModelFailed` if the outputs can't be combined in this way.
    """
    arrived = [arm for arm in asked if arm in predictions]
    if not arrived:
        raise ValueError("nothing to combine: no arm answered")
    if how == VOTE:
        first = predictions[arrived[0]]
        if [predictions[arm] for arm in arrived].count(first) == len(arrived):
            # Most queries end here.
            return Combined(first, _share(arrived, weights=weights, asked=asked))
    method = METHODS.get(how)
    if method is None:
        raise ModelFailed(f"no way to combine is named {how!r}: expected {', '.join(METHODS)}")
    return method(
        Answers(
            predictions=predictions,
            weights=weights,
            asked=asked,
            arrived=arrived,
            averages=averages,
        )
    )


def _vote(answers: Answers) -> Combined:
    predictions, weights = answers.predictions, answers.weights
    camps: dict[Hashable, list[str]] = {}
    for arm in answers.arrived:
        camps.setdefault(same_value_key(predictions[arm]), []).append(arm)

    def rank(arm: str) -> tuple[float, str]:
        return (-weights.get(arm, 0.0), arm)

    def weakness(arms: list[str]) -> tuple[float, tuple[float, str]]:
        # Ties go to the camp of the most trusted single arm, then of the first name.
        return (-_total(arms, weights), min(map(rank, arms)))

    winners = min(camps.values(), key=weakness)
    output = predictions[min(winners, key=rank)]
    return Combined(output, answers.share(winners))


def _scores(answers: Answers) -> Combined:
    values = _read(answers, read=class_scores, what="scores: numbers from 0 up")
    trust = _with_stand_ins(answers, values=values, kind=SCORES)
    total: dict[str | int, float] = {}
    for scored, share in trust:
        items = scored.items() if isinstance(scored, dict) else enumerate(_array(scored))
        for label, score in items:
            total[label] = total.get(label, 0.0) + share * score
    # Ties go to the first class in order; they are all labels or all indices.
    winner = min(total, key=lambda label: (-total[label], label))
    agreeing = [arm for arm, scored in values.items() if best_class(scored) == winner]
    return Combined(msgspec.json.encode(winner), answers.share(agreeing))


def _merged(
    answers: Answers, *, how: str, column: Callable[[Sequence[float], Sequence[float]], float]
) -> Combined:
    """Merge numbers, or arrays item by item."""
    first = answers.predictions[answers.arrived[0]]
    if len(answers.asked) == 1:
        return Combined(first, 1.0)
    agreed = all(answers.predictions[arm] == first for arm in answers.arrived)
    if agreed and numbers(first) is None:
        return Combined(first, answers.share(answers.arrived))
    values = _read(answers, read=numbers, what=f"{how} needs numbers or arrays of numbers")
    trust = _with_stand_ins(answers, values=values, kind=MEAN)
    if agreed and len(trust) == len(values):
        return Combined(first, answers.share(answers.arrived))
    shares = [share for _, share in trust]
    is_array = isinstance(trust[0][0], list)
    columns = zip(*(_array(value) for value, _ in trust), strict=True)
    merged = [column(values, shares) for values in columns]
    if not all(map(math.isfinite, merged)):
        raise ModelFailed(f"the {how} of the outputs is too large for a number")
    output = msgspec.json.encode(merged if is_array else merged[0])
    return Combined(output, answers.share(answers.arrived))


def _read(answers: Answers, *, read: Callable[[bytes], Any], what: str) -> dict[str, Any]:
    """Return what each arm answered; all must be of the kind that is read, and of one shape."""
    values = {arm: read(answers.predictions[arm]) for arm in answers.arrived}
    for arm, value in values.items():
        if value is None:
            text = answers.predictions[arm][:80].decode(errors="replace")
            raise ModelFailed(f"{what}, {arm} answered {text}")
    if len({shape(value) for value in values.values()}) > 1:
        raise ModelFailed("expected outputs of one shape, the arms answered with several")
    return values


def _with_stand_ins(
    answers: Answers, *, values: Mapping[str, Values], kind: str
) -> list[tuple[Values, float]]:
    """Return values with their shares of trust: the arms' own, and averages of missing ones."""
    complete: dict[str, Values] = dict(values)
    averages = answers.averages
    if averages is not None and len(answers.asked) > 1:
        expected = shape(values[answers.arrived[0]])
        for arm in answers.asked:
            if arm in values:
                averages.note(arm, kind=kind, values=values[arm])
                continue
            average = averages.of(arm, kind=kind)
            if average is not None and shape(average) == expected:
                complete[arm] = average
    shares = normalise({arm: answers.weights.get(arm, 0.0) for arm in complete})
    return [(value, shares[arm]) for arm, value in complete.items()]


def _mean_of(column: Sequence[float], shares: Sequence[float]) -> float:
    return math.fsum([share * x for share, x in zip(shares, column, strict=True)])


def _median_of(column: Sequence[float], shares: Sequence[float]) -> float:
    """Return the number with half of the trust on either side, or the middle of two such."""
    ordered = sorted(zip(column, shares, strict=True))
    below = list(accumulate(share for _, share in ordered))
    for index, sum_ in enumerate(below):
        # A sum of weights this near to one half is one half.
        if abs(sum_ - 0.5) <= 1e-12 and index + 1 < len(ordered):
            following = next((x for x, share in ordered[index + 1 :] if share > 0.0), None)
            low = ordered[index][0]
            return low if following is None else low + (following - low) / 2.0
        if sum_ > 0.5:
            return ordered[index][0]
    return ordered[-1][0]


def _array(value: Values) -> list[float]:
    if isinstance(value, list):
        return value
    assert isinstance(value, float)  # noqa: S101 - objects of scores are merged by label
    return [value]


def custom(name: str, function: CustomCombine) -> Callable[[Answers], Combined]:
    """Return a method that calls a package's own; whatever it fails with is `ModelFailed`."""

    def method(answers: Answers) -> Combined:
        arms = answers.arrived
        try:
            # Any pair will do, and any number: compiled code would refuse those of numpy.
            pair: Any = function(
                {arm: decode(answers.predictions[arm]) for arm in arms},
                normalise({arm: answers.weights.get(arm, 0.0) for arm in arms}),
            )
            output, confidence = pair
            if not 0.0 <= confidence <= 1.0:
                raise ValueError(f"expected a confidence from 0 to 1, got {confidence!r}")
            return Combined(msgspec.json.encode(output), float(confidence) * answers.share(arms))
        except Exception as error:
            raise ModelFailed(f"combine {name!r} failed: {error!r}") from error

    return method


METHODS: dict[str, Callable[[Answers], Combined]] = {
    VOTE: _vote,
    SCORES: _scores,
    MEAN: partial(_merged, how=MEAN, column=_mean_of),
    MEDIAN: partial(_merged, how=MEDIAN, column=_median_of),
}


def _total(arms: Sequence[str], weights: Mapping[str, float]) -> float:
    return math.fsum([weights.get(arm, 0.0) for arm in arms])


def _share(arms: Sequence[str], *, weights: Mapping[str, float], asked: Sequence[str]) -> float:
    """Return the share of the weight of `asked` that `arms` hold; counted where none weighs."""
    if len(arms) == len(asked):
        return 1.0
    total = _total(asked, weights)
    return _total(arms, weights) / total if total > 0.0 else len(arms) / len(asked)


class Fault(Enum):
    """A fault of the arms' combined answer."""

    NO_OUTPUT = "no arm answered"
    NOT_COMBINED = "the outputs are nothing that can be combined"
    UNSURE = "the confidence is below the threshold"


class Objection(NamedTuple):
    """An objection to the arms' answer: its fault, an explanation, the confidence."""

    fault: Fault
    explanation: str
    confidence: float = 0.0


NOTHING = Objection(Fault.NO_OUTPUT, Fault.NO_OUTPUT.value)


def decide(
    outputs: Mapping[str, bytes],
    *,
    weights: Mapping[str, float],
    asked: Sequence[str],
    how: str,
    threshold: float,
    default: bytes | None,
    averages: Averages | None = None,
    prepared: Prepared | None = None,
) -> Combined | Objection:
    """Return the combined answer of the arms, or the objection to giving it.

    What labels have shown of such answers is in `prepared`.
    """
    if not outputs:
        return NOTHING
    try:
        combined = combine(outputs, weights=weights, asked=asked, how=how, averages=averages)
    except ModelFailed as error:
        return Objection(Fault.NOT_COMBINED, error.message)
    why = ""
    if prepared is not None and (record := prepared.record) is not None:
        margin = margin_of(combined, outputs, prepared=prepared, how=how)
        if how in CLASSES or record.promise is not None:
            combined = Combined(combined.output, record.confidence(margin))
        if margin < record.lowest_margin:
            why, threshold = f" of the promise: {record.promise}", record.threshold
    if default is not None and (why or combined.confidence < threshold):
        shown = min(combined.confidence, 0.999)
        text = f"confidence {shown:.3g} below the threshold {threshold:.3g}{why}"
        return Objection(Fault.UNSURE, text, combined.confidence)
    return combined


def margin_of(
    combined: Combined, predictions: Mapping[str, bytes], *, prepared: Prepared, how: str
) -> float:
    """Return the log-odds that an output is right: for `vote` of its camp against all values seen.

    Arms are taken as independent, which labels correct (`AnswerRecord`).
    """
    if how != VOTE or not prepared.odds or prepared.record is None:
        return _logit(combined.confidence)
    odds = prepared.odds
    if [*predictions.values()].count(combined.output) == len(predictions):
        # Most answers are of one mind.
        own = math.fsum([odds.get(arm, 0.0) for arm in predictions])
        return own - math.log(prepared.record.classes - 1.0)
    camps: dict[Hashable, float] = {}
    for arm, text in predictions.items():
        key = same_value_key(text)
        camps[key] = camps.get(key, 0.0) + odds.get(arm, 0.0)
    own = camps.pop(same_value_key(combined.output))
    # Values that no arm answered have no odds for or against them.
    unnamed = max(prepared.record.classes - 1.0 - len(camps), 0.0) * math.exp(-own)
    # Cut, so that many arms make no number that is infinite.
    others = math.fsum(math.exp(min(camp - own, 600.0)) for camp in camps.values()) + unnamed
    return -math.log(others) if others > 0.0 else KNOTS[-1]


def _logit(share: float) -> float:
    """Return the log-odds of a share, within those that are told apart."""
    if 0.0 < share < 1.0:
        return math.log(share / (1.0 - share))
    return KNOTS[-1] if share > 0.0 else KNOTS[0]
