"""Formulas that people write: bounded arithmetic over label and output, anything else refused."""

import pytest

from core.errors import BadRequest, InvalidInput
from selection.rewards.losses import check_loss, make_loss


def loss(label: bytes, output: bytes, of: str, *, expression: str) -> float:
    return make_loss(of, expression=expression)(label, output)


@pytest.mark.parametrize(
    ("formula", "label", "output", "expected"),
    [
        ("abs(label - output) / 10", b"3", b"8", 0.5),
        ("label - output", b"3", b"8", 0.0),
        ("1 if output == label else 0.25", b'"a"', b'"b"', 0.25),
        ("abs(label['x'] - output['x'])", b'{"x":1}', b'{"x":0.5}', 0.5),
        ("max(0, 1 - output[0]) / len(output)", b"0", b"[0.5, 1]", 0.25),
        ("output in label", b"[1,2]", b"2", 1.0),
        ("sqrt(sum(output) ** 2) / 10", b"0", b"[1,2]", 0.3),
    ],
)
def test_a_formula_judges_and_its_result_is_cut(
    formula: str, label: bytes, output: bytes, expected: float
) -> None:
    judged = loss(label, output, "expression", expression=formula)
    assert judged == pytest.approx(expected)


@pytest.mark.parametrize(
    ("formula", "label", "output"),
    [
        ("label / output", b"1", b"0"),
        ("output ** 999 ** 9", b"1", b"9"),
        ("label - output", b'"a"', b"1"),
        ("output", b"1", b"[1]"),
        ("(output - 9) ** 0.5", b"1", b"1"),
        ("output * 9999", b"1", b'"ab"'),
        ("log(output)", b"1", b"0"),
        ("output", b"1", b"1" + b"0" * 400),
    ],
)
def test_a_formula_without_value_refuses_the_item_and_says_so(
    formula: str, label: bytes, output: bytes
) -> None:
    with pytest.raises(InvalidInput, match=r"loss_expression .* has no value for this label"):
        loss(label, output, "expression", expression=formula)


@pytest.mark.parametrize(
    ("formula", "refusal"),
    [
        ("", "expected a formula"),
        ("label -", "expected a formula"),
        ("x = output", "expected a formula"),
        ("output + price", "no names but label and output, got 'price'"),
        ("label", "expected output in"),
        ("abs + output", "got 'abs'"),
        ("output.real", "expected arithmetic"),
        ("open(output)", "expected a function"),
        ("output.__class__()", "expected a function"),
        ("[x for x in output]", "expected arithmetic"),
        ("lambda: output", "expected arithmetic"),
        ("output << 9", "expected arithmetic"),
        ("f'{output}'", "expected"),
        ("abs(x=output)", "expected numbers in"),
        ("output + b'1'", "expected numbers"),
        ("abs(*output)", "expected arithmetic"),
        ("output" + "+1" * 300, "at most 500 characters, got 606"),
        ("-" * 200 + "output", "a shorter formula"),
        ("(" * 300 + "output", "expected a formula"),
        ("output == None", "expected numbers"),
    ],
)
def test_what_is_no_formula_is_refused_when_it_is_saved(formula: str, refusal: str) -> None:
    with pytest.raises(BadRequest, match="loss_expression: ") as caught:
        check_loss("expression", formula)
    assert refusal in caught.value.message
