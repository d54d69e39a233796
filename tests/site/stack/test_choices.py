"""A folder or a port that no stack could use is refused with one line, before anything starts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from clipper_site.stack.layout import (
    ROOT,
    layout_of,
    make_var,
    usable_console_port,
    usable_host,
    usable_port,
    usable_var,
)
from clipper_site.stack.terminal import StackError


@pytest.mark.parametrize("text", ["", "0", "65536", "-1", "80a", "8000 ", "٨٠", "99999999999"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(StackError, match="expected 1 to 65535"):
        usable_port(text)


def test_a_port_is_read() -> None:
    assert [usable_port(text) for text in ("1", "8000", "65535")] == [1, 8000, 65535]


@pytest.mark.parametrize(("text", "port"), [("", 0), ("0", 0), ("8001", 8001)])
def test_the_console_has_a_port_of_its_own_where_it_is_given_one(text: str, port: int) -> None:
    assert usable_console_port(text, beside=8000) == port


@pytest.mark.parametrize(("text", "said"), [("8000", "own port"), ("http", "expected 1 to 65535")])
def test_a_port_that_the_console_can_not_have_is_refused(text: str, said: str) -> None:
    with pytest.raises(StackError, match=f"CLIPPER_CONSOLE_PORT={text} .*{said}"):
        usable_console_port(text, beside=8000)


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_folder_is_refused(text: str) -> None:
    with pytest.raises(StackError, match="VAR is empty"):
        usable_var(text)


@pytest.mark.parametrize("character", ["%", '"', "\\", "\n", "\t", "\x7f"])
def test_a_folder_with_what_no_process_could_be_told_is_refused(
    character: str, tmp_path: Path
) -> None:
    with pytest.raises(StackError, match="choose a path without it"):
        usable_var(str(tmp_path / f"a{character}b"))


@pytest.mark.parametrize("text", ["a\0b", "a\udcffb"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(StackError, match="no path that can be used"):
        usable_var(text)


def test_where_a_link_leads_counts(tmp_path: Path) -> None:
    (tmp_path / "100%").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "100%")
    with pytest.raises(StackError, match="choose a path without it"):
        usable_var(str(tmp_path / "link"))


def test_a_path_that_leads_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises(StackError):
        make_var(layout_of(usable_var(str(tmp_path / "a")), port=1).var)


@pytest.mark.parametrize("name", ["var", "my var", "v#1", "v?x=1", "größe", "it's", "a&b;c"])
def test_other_characters_are_fine_and_reach_no_url(name: str, tmp_path: Path) -> None:
    layout = layout_of(usable_var(str(tmp_path / name)), port=1)

    assert layout.var.name == name
    assert not set("#?'& ;") & set(str(layout.redis_socket))
    assert str(layout.redis_socket).isascii()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["VAR="], "clipper: VAR is empty; expected a folder for the state, such as var."),
        pytest.param(
            ["PORT="],
            "clipper: PORT= is no port; expected 1 to 65535.",
            marks=pytest.mark.long,
        ),
        (["PORT=http"], "clipper: PORT=http is no port; expected 1 to 65535."),
        pytest.param(
            ['VAR=/nowhere/"a b"'],
            "clipper: VAR='/nowhere/\"a b\"' contains '\"'; ",
            marks=pytest.mark.long,
        ),
    ],
)
def test_make_run_says_so_in_one_line(given: list[str], said: str) -> None:
    refused = subprocess.run(
        ["make", "--no-print-directory", "run", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    lines = [one for one in refused.stderr.splitlines() if not one.startswith(("make:", "make["))]
    assert len(lines) == 1
    assert lines[0].startswith(said)


@pytest.mark.parametrize(
    ("text", "host", "url"),
    [
        ("", "127.0.0.1", "http://127.0.0.1:8123"),
        ("127.0.0.3", "127.0.0.3", "http://127.0.0.3:8123"),
        ("0.0.0.0", "0.0.0.0", "http://127.0.0.1:8123"),
        ("::", "::", "http://[::1]:8123"),
        ("[::1]", "::1", "http://[::1]:8123"),
    ],
)
def test_it_listens_where_it_is_told_and_says_where_to_reach_it(
    text: str, host: str, url: str, tmp_path: Path
) -> None:
    layout = layout_of(tmp_path, port=8123, host=usable_host(text))
    assert (layout.host, layout.url) == (host, url)


@pytest.mark.parametrize("text", ["localhost", "10.0.0", "0.0.0.0:8000", "a b"])
def test_what_is_no_address_to_listen_on_is_refused(text: str) -> None:
    with pytest.raises(StackError, match="CLIPPER_HOST"):
        usable_host(text)
