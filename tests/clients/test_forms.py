"""Bytes become the files of forms, as many in each as the server takes."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from clipper_client import forms
from clipper_client.forms import FORM_FILES, are_bytes, forms_of
from serving.api.binary import MOST_FILES, binary_inputs


def received(rows: list[bytes], **fields: Any) -> list[tuple[list[bytes], dict[str, str]]]:
    """Return the inputs and options that the server reads out of each form."""
    found = []
    for body, kind in forms_of(rows, fields=fields):
        inputs, options = binary_inputs(
            body, content_type=kind.encode(), query=b"", known=list(fields)
        )
        found.append(([b64decode(bytes(text)[1:-1]) for text in inputs], options))
    return found


def test_the_server_reads_what_was_sent() -> None:
    rows = [b"", b"\x00\xff\r\n--", b"a" * 1000, b'"quoted"']
    assert received(rows, version="a:1") == [(rows, {"version": "a:1"})]
    assert received([]) == []


def test_a_form_holds_no_more_files_than_the_server_takes() -> None:
    assert FORM_FILES <= MOST_FILES
    rows = [b"%d" % number for number in range(2 * FORM_FILES + 1)]
    found = [inputs for inputs, _ in received(rows)]
    assert [len(inputs) for inputs in found] == [FORM_FILES, FORM_FILES, 1]
    assert [row for inputs in found for row in inputs] == rows


def test_a_form_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "FORM_BYTES", 10)
    found = [inputs for inputs, _ in received([b"123456", b"1234", b"5", b"x" * 50, b"6"])]
    assert found == [[b"123456", b"1234"], [b"5"], [b"x" * 50], [b"6"]]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [([b"a", bytearray(b"b"), memoryview(b"c")], True), ([b"a", "b"], False), ([], False)],
)
def test_only_bytes_are_files(rows: list[Any], expected: bool) -> None:
    assert are_bytes(rows) is expected
