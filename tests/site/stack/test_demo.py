"""The demo as the launcher shows it, against a web process that answers from a list."""

import json
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_digits

from clipper_site.stack import demo
from clipper_site.stack.layout import layout_of
from tests.site.stack.played_web import web_process

ANSWER = {"default": False, "output": 4, "confidence": 0.8, "models": {"svm:1": 4}}
KNOWN = {"url": "http://127.0.0.1:1", "api_key": "key", "admin_user": "a", "admin_password": "p"}


@pytest.fixture
def var(tmp_path: Path) -> Path:
    """The folder of a stack that has been seeded."""
    (tmp_path / "demo.json").write_text(json.dumps(KNOWN))
    return tmp_path


def test_the_scans_are_those_of_scikit_learn() -> None:
    digits = load_digits()

    assert demo.scans(demo.QUESTIONS) == [
        (digits.data[position].tolist(), digits.target[position]) for position in demo.QUESTIONS
    ]


def test_questions_carry_the_key_and_print_the_answers(
    var: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    with web_process((200, ANSWER), var=var, asked=asked) as layout:
        demo.ask_questions(layout)
    printed = capsys.readouterr().out

    assert len(asked) == len(demo.QUESTIONS)
    assert {(path, key) for path, key, _ in asked} == {
        ("/api/v1/applications/digits/predict", "Api-Key key")
    }
    assert "4, 80% sure" in printed
    assert "(right)" in printed


@pytest.mark.parametrize("status", [404, 401])
def test_a_demo_that_is_gone_is_said_in_one_line_and_stops_nothing(
    status: int, var: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    with web_process((status, {"error": "It is gone."}), var=var, asked=asked) as layout:
        demo.ask_questions(layout)

    assert len(asked) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("It is gone.")


def test_a_demo_that_was_never_made_stops_nothing(
    var: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = layout_of(var, port=1)
    layout.demo.write_text("{")

    assert not demo.seed_once(layout, environment={})
    demo.ask_questions(layout)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(str(layout.demo) in line for line in lines)


def test_a_later_start_keeps_all_but_the_url(var: Path) -> None:
    layout = layout_of(var, port=8123)
    assert demo.seed_once(layout, environment={})

    assert json.loads(layout.demo.read_text()) == KNOWN | {"url": layout.url}
    assert layout.demo.stat().st_mode & 0o777 == 0o600
