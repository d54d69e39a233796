"""Formulas that people write: arithmetic over `label` and `output`, and nothing else.

simpleeval evaluates them with operators that take numbers only and give floats. No attribute can be
reached, no name but the two.
"""

import ast
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from simpleeval import SimpleEval

from core.errors import BadRequest, InvalidInput

LABEL, OUTPUT = "label", "output"


def _number(value: Any) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"expected a number, got {str(value)[:40]!r}")
    return float(value)


def _numeric(function: Callable[..., Any]) -> Callable[..., float]:
    """Return the function of numbers, whose result must be a number too."""

    def checked(*arguments: Any) -> float:
        return _number(function(*map(_number, arguments)))

    return checked


def _over_several(function: Callable[..., Any]) -> Callable[..., float]:
    """Return the function of an array of numbers, or of several numbers."""

    def checked(*arguments: Any) -> float:
        several = arguments[0] if len(arguments) == 1 else arguments
        if not isinstance(several, Sequence) or isinstance(several, str):
            raise TypeError("expected an array or several numbers")
        return _number(function([_number(item) for item in several]))

    return checked


def _length(value: Any) -> float:
    if not isinstance(value, str | list | dict):
        raise TypeError("expected a text, an array or an object")
    return float(len(value))


OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _numeric(operator.add),
    ast.Sub: _numeric(operator.sub),
    ast.Mult: _numeric(operator.mul),
    ast.Div: _numeric(operator.truediv),
    ast.FloorDiv: _numeric(operator.floordiv),
    ast.Mod: _numeric(operator.mod),
    ast.Pow: _numeric(operator.pow),
    ast.USub: _numeric(operator.neg),
    ast.UAdd: _numeric(operator.pos),
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Not: operator.not_,
    ast.In: lambda item, among: item in among,
    ast.NotIn: lambda item, among: item not in among,
}
FUNCTIONS: dict[str, Callable[..., float]] = {
    "abs": _numeric(abs),
    "sqrt": _numeric(math.sqrt),
    "exp": _numeric(math.exp),
    "log": _numeric(math.log),
    "min": _over_several(min),
    "max": _over_several(max),
    "sum": _over_several(math.fsum),
    "len": _length,
}
# Parts of a formula besides the operators.
PARTS = (
    *(ast.Name, ast.Load, ast.Constant, ast.Subscript, ast.Call, ast.IfExp),
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.And, ast.Or, ast.Compare),
)


class Expression:
    """One formula, parsed once; for one thread. Raises `BadRequest` where it is none."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parsed = _parsed(text)
        self._evaluator = SimpleEval(operators=OPERATORS, functions=FUNCTIONS, names={})

    def __call__(self, *, label: Any, output: Any) -> float:
        """Return the formula's value of JSON values. Raises `InvalidInput` if it has none."""
        self._evaluator.names = {LABEL: label, OUTPUT: output}
        try:
            value = _number(self._evaluator.eval(self._text, previously_parsed=self._parsed))
        except Exception as error:
            raise InvalidInput(
                f"loss_expression {self._text!r} has no value for this label and output: {error}"
            ) from error
        if math.isnan(value):
            raise InvalidInput(
                f"loss_expression {self._text!r} is not a number for this label and output"
            )
        return value


def _parsed(text: str) -> ast.expr:
    if len(text) > 500:
        raise BadRequest(f"loss_expression: expected at most 500 characters, got {len(text)}.")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadRequest(
            f"loss_expression: expected a formula such as abs(label - output) / 10, got {text!r}."
        ) from error
    nodes = list(ast.walk(tree))
    if len(nodes) > 150:
        raise BadRequest("loss_expression: expected a shorter formula.")
    for node in nodes:
        _check(node)
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    names = {node.id for node in nodes if isinstance(node, ast.Name) and node not in called}
    if unknown := sorted(names - {LABEL, OUTPUT}):
        raise BadRequest(
            f"loss_expression: expected no names but {LABEL} and {OUTPUT}, got {unknown[0]!r}."
        )
    if OUTPUT not in names:
        raise BadRequest(f"loss_expression: expected {OUTPUT} in the formula, got {text!r}.")
    return tree


def _check(node: ast.AST) -> None:
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            raise BadRequest(
                f"loss_expression: expected a function out of {', '.join(FUNCTIONS)}, "
                f"got {ast.unparse(node.func)!r}."
            )
        if node.keywords or not node.args:
            raise BadRequest(f"loss_expression: expected numbers in {ast.unparse(node)!r}.")
    elif isinstance(node, ast.Constant):
        if not isinstance(node.value, int | float | str):
            raise BadRequest(
                f"loss_expression: expected numbers and texts, got {ast.unparse(node)!r}."
            )
    elif type(node) not in OPERATORS and not isinstance(node, PARTS):
        raise BadRequest(
            f"loss_expression: expected arithmetic and comparisons, got {ast.unparse(node)!r}."
        )
