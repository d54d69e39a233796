"""Text in which a model had a hand can be kept and shown anywhere, and has some length only."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.rpc.text import MESSAGE_CHARACTERS, safe_text


@pytest.mark.parametrize("text", ["", "ValueError: no", "née\n\tΔ 模型"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert safe_text(text) == text


def test_what_cannot_be_printed_is_shown_as_its_escape() -> None:
    assert safe_text("a\0\ud800\x1b[31m\r\u202eb") == "a\\x00\\ud800\\x1b[31m\\r\\u202eb"


def test_of_a_long_text_head_and_tail_are_kept() -> None:
    text = safe_text("head" + "x" * 5_000_000 + "tail", most=100)

    assert text.startswith("headx")
    assert text.endswith("xtail")
    assert "\n[... 4999908 characters left out ...]\n" in text


@given(st.text(st.characters(), max_size=50).map(lambda text: text * 200))
def test_whatever_it_was_it_is_bounded_valid_and_stays_so(text: str) -> None:
    safe = safe_text(text)

    assert len(safe) <= MESSAGE_CHARACTERS + 100
    assert "\0" not in json.loads(json.dumps(safe.encode().decode()))
    assert safe_text(safe) == safe


def test_a_text_of_a_class_of_its_own_is_taken_for_its_characters() -> None:
    class Odd(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise SystemExit

    assert safe_text(Odd("a\0")) == "a\\x00"
