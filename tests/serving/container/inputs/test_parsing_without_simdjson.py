"""In an environment without simdjson each input means what it means with it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serving.container.inputs.parsing import parse_batch, row_parser
from serving.container.inputs.signature import Signature

ROOT = Path(__file__).resolve().parents[4]
RAWS = [
    *("[]", "[1, 2.5, -3e300]", "[1, 2]", "[0.1]", "[-0.0]", " [ 1 ] ", "[9007199254740993]"),
    *("[true]", '["1"]', "[null]", "[[1]]", "[1", "1", "{}", "", "[1e999]", "[NaN]", "[1.0]"),
    *("[9223372036854775807]", "[9223372036854775808]", "[1e2]", "[1e39]", "[" * 5000),
]
PROGRAM = """
import json, sys
sys.modules["simdjson"] = None
from tests.serving.container.inputs.test_parsing_without_simdjson import RAWS, read
print(json.dumps(read(sys.argv[1])))
"""


def read(input_type: str) -> list[str]:
    """Return each row with its type, or its refusal."""
    return [_became(input_type, raw=raw) for raw in RAWS]


def _became(input_type: str, *, raw: str) -> str:
    batch = parse_batch(row_parser(Signature.of(input_type)), [raw.encode()])
    if refusal := batch.refusals.get(0):
        return refusal.payload.decode()
    rows: Any = batch.rows
    return f"{rows.tolist()!r} {rows.dtype}" if hasattr(rows, "dtype") else repr(rows)


@pytest.mark.parametrize("input_type", ["doubles", "floats", "integers", "tensor"])
def test_numbers_are_the_same_without_it(input_type: str) -> None:
    command = [sys.executable, "-c", PROGRAM, input_type]
    said = json.loads(subprocess.check_output(command, cwd=ROOT))
    assert said == read(input_type)
    assert any(text.startswith("[[1.0") or text.startswith("[[1") for text in said)
