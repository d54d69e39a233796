"""Losses of outputs, from 0 (right) to 1 (as wrong as it gets).

`zero_one`    0 where label and output are the same JSON value, else 1; scores stand for their best
              class, and null items of an array label are unknown: they aren't compared.
`absolute`    the absolute error, of arrays its mean over the known items.
`squared`     the squared error, likewise.
`log`         ln(1/p) / ln(1000), p being the probability given to the label and at least 0.001.
`expression`  a formula over label and output (`selection.rewards.formula`).

Errors are divided by a scale (before they are squared) and losses cut at 1.
"""

import math
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any

import msgspec

from core.errors import BadRequest, InvalidInput
from core.specs import ApplicationSpec
from selection.answers.combine import MEAN, MEDIAN, SCORES, VOTE
from selection.answers.json_values import (
    NULL,
    best_class,
    class_scores,
    decode,
    frozen,
    kind_of,
    numbers,
    numbers_or_nulls,
    same_value_key,
    score_of,
)
from selection.rewards.formula import Expression

AUTO, ZERO_ONE, ABSOLUTE, SQUARED, LOG, EXPRESSION = (
    *("auto", "zero_one", "absolute", "squared", "log", "expression"),
)
BY_COMBINE = {VOTE: ZERO_ONE, SCORES: ZERO_ONE, MEAN: ABSOLUTE, MEDIAN: ABSOLUTE}

# Takes a label and an output, both JSON text. Raises `InvalidInput` where the label is nothing
# that this loss can judge by: the caller's mistake. An output of another shape than the label is
# the arm's: as wrong as it gets.
Loss = Callable[[bytes, bytes], float]
# Takes an application's way to combine outputs, its scale and its formula.
Maker = Callable[[str, float, str], Loss]


@lru_cache(maxsize=256)
def make_loss(
    loss: str = AUTO, *, combine: str = VOTE, scale: float = 1.0, expression: str = ""
) -> Loss:
    """Return an application's loss. Raises `BadRequest` where there is none, or no such formula."""
    return _maker(loss)(combine, scale, expression)


def loss_of(application: ApplicationSpec) -> Loss:
    """Return how an application judges an answer by a label."""
    return make_loss(
        application.loss,
        combine=application.combine,
        scale=application.loss_scale,
        expression=application.loss_expression,
    )


def check_label(label: bytes, *, outputs: Iterable[bytes], application: ApplicationSpec) -> None:
    """Raise `InvalidInput` if a label that has to equal an output is of another kind than all."""
    if loss_of(application) is not _zero_one:
        return
    kinds = {kind_of(output) for output in outputs} - {NULL}
    kind = kind_of(label)
    if kinds and kind not in {*kinds, NULL}:
        expected = " or ".join(sorted(kinds))
        raise InvalidInput(f"label: expected {expected}, as the models answered, got {kind}")


def check_loss(loss: str, expression: str) -> None:
    """Raise `BadRequest` where there is no such loss, or where it lacks its formula."""
    _maker(loss)
    if loss == EXPRESSION or expression:
        Expression(expression)


def _maker(loss: str) -> Maker:
    maker = LOSSES.get(loss)
    if maker is None:
        raise BadRequest(f"loss: expected one of {', '.join(LOSSES)}, got {loss!r}.")
    return maker


def _zero_one(label: bytes, output: bytes) -> float:
    if label == output or same_value_key(label) == same_value_key(output):
        return 0.0
    return _known_items_differ(label, output) if label[:1] == b"[" and b"null" in label else 1.0


def _class_zero_one(label: bytes, output: bytes) -> float:
    """Judge the best class of an array or an object of scores."""
    scores = class_scores(output)
    if scores is None:
        return _zero_one(label, output)
    truth = _decoded(label)
    if isinstance(scores, dict) and isinstance(truth, int) and not isinstance(truth, bool):
        truth = str(truth)
    return 0.0 if frozen(truth) == best_class(scores) else 1.0


def _known_items_differ(label: bytes, output: bytes) -> float:
    truth, answer = _decoded(label), _decoded(output)
    known = [index for index, item in enumerate(truth) if item is not None]
    if not known:
        raise InvalidInput("label: expected an item that is not null")
    if not isinstance(answer, list) or len(answer) != len(truth):
        return 1.0
    return float(any(frozen(truth[index]) != frozen(answer[index]) for index in known))


def _error(label: bytes, output: bytes, *, of: Callable[[float], float], scale: float) -> float:
    truth, answer = numbers_or_nulls(label), numbers(output)
    if truth is None:
        raise InvalidInput("label: expected a number or an array of numbers")
    if isinstance(truth, float):
        if not isinstance(answer, float):
            return 1.0
        return min(1.0, of((truth - answer) / scale))
    known = [index for index, item in enumerate(truth) if item is not None]
    if truth and not known:
        raise InvalidInput("label: expected an item that is not null")
    if not isinstance(answer, list) or len(answer) != len(truth):
        return 1.0
    errors = [of((truth[index] - answer[index]) / scale) for index in known]  # type: ignore[operator]  # null items are left out
    return min(1.0, sum(errors) / len(errors)) if errors else 0.0


def _log(label: bytes, output: bytes) -> float:
    """Return what the probability of the label costs, from 0 to 1."""
    truth = _decoded(label)
    if not isinstance(truth, str | bool | int):
        raise InvalidInput("label: expected a class, as text, a whole number, true or false")
    probability = _probability(truth, output)
    if probability is None:
        return 1.0
    # A label that was given no chance at all is as wrong as it gets, and not infinitely wrong.
    return math.log(max(probability, 1e-3)) / math.log(1e-3)


def _probability(truth: Any, output: bytes) -> float | None:
    """Return the probability that an output gives to a class; None where it gives none."""
    positive = numbers(output)
    if isinstance(positive, float):
        if truth not in (0, 1) or not 0.0 <= positive <= 1.0:
            return None
        return positive if truth else 1.0 - positive
    scores = class_scores(output)
    return None if scores is None else score_of(truth, scores)


def _by_formula(expression: str) -> Loss:
    formula = Expression(expression)

    def loss(label: bytes, output: bytes) -> float:
        return min(1.0, max(0.0, formula(label=_decoded(label), output=_decoded(output))))

    return loss


def _decoded(text: bytes) -> Any:
    try:
        return decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"expected JSON, got {text[:40]!r}") from error


# Makers of losses, by name.
LOSSES: dict[str, Maker] = {
    AUTO: lambda combine, *own: LOSSES[BY_COMBINE.get(combine, ZERO_ONE)](combine, *own),
    ZERO_ONE: lambda combine, *_: _class_zero_one if combine == SCORES else _zero_one,
    ABSOLUTE: lambda _, scale, __: partial(_error, of=abs, scale=scale),
    SQUARED: lambda _, scale, __: partial(_error, of=lambda x: x * x, scale=scale),
    LOG: lambda _, scale, __: lambda label, output: min(1.0, _log(label, output) / scale),
    EXPRESSION: lambda *terms: _by_formula(terms[-1]),
}
