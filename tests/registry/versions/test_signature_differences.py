"""A version does for another one where it takes whatever that takes, and answers in its kind."""

from typing import Any

import pytest

from registry.services.signatures import difference

AGE = {"name": "age", "dtype": "float64", "nullable": False}
CITY = {"name": "city", "dtype": "string", "nullable": True}
INCOME = {"name": "income", "dtype": "int64"}


def columns(*parts: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"input_type": "columns", "inputs": list(parts)} | other


def tensor(*parts: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"input_type": "tensor", "inputs": list(parts)} | other


def doubles(length: int | None, **other: Any) -> dict[str, Any]:
    return {"input_type": "doubles", "inputs": [{"shape": [length]}]} | other


@pytest.mark.parametrize(
    ("version", "other"),
    [
        ({}, {}),
        ({}, doubles(3)),
        (doubles(3), doubles(3)),
        (doubles(None), doubles(3)),
        (columns(AGE, CITY), columns(CITY, AGE)),
        (columns(AGE, CITY, INCOME), columns(AGE, CITY)),
        (columns(AGE | {"nullable": True}), columns(AGE)),
        (columns(CITY | {"dtype": "category"}), columns(CITY)),
        (columns({"name": "age"}), columns(AGE)),
        (columns(AGE | {"dtype": "int32"}), columns(AGE)),
        (tensor({"shape": [None, 3]}), tensor({"shape": [2, 3]})),
        (tensor({"name": "x", "shape": [2]}), tensor({"shape": [2]})),
        (doubles(3, output={"kind": "mixed"}), doubles(3, output={"kind": "text"})),
        (doubles(3), columns(AGE)),
    ],
)
def test_it_does(version: dict[str, Any], other: dict[str, Any]) -> None:
    assert difference(version, other) is None


@pytest.mark.parametrize(
    ("version", "other"),
    [
        (doubles(2), doubles(3)),
        (columns(AGE), columns(AGE, CITY)),
        (columns(AGE, INCOME | {"nullable": False}), columns(AGE)),
        (columns(AGE), columns(AGE | {"nullable": True})),
        (columns(AGE | {"dtype": "string"}), columns(AGE)),
        (tensor({"shape": [2, 4]}), tensor({"shape": [2, 3]})),
        (tensor({"name": "a"}, {"name": "b"}), tensor({"name": "a"})),
        (
            doubles(3, output={"kind": "array", "shape": [2]}),
            doubles(3, output={"kind": "number"}),
        ),
        (
            doubles(3, output={"kind": "array", "shape": [2]}),
            doubles(3, output={"kind": "array", "shape": [3]}),
        ),
    ],
)
def test_it_does_not(version: dict[str, Any], other: dict[str, Any]) -> None:
    assert difference(version, other) is not None
