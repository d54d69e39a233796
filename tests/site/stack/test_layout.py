"""A stack's folders: private, apart from every other stack's, short enough for sockets."""

import os
import stat
from pathlib import Path

import pytest

from clipper_site.stack.layout import (
    keep_secret,
    layout_of,
    make_folders,
    make_private,
    remove_run_dir,
    run_dir_of,
    usable_console_port,
    usable_host,
    usable_port,
    usable_var,
    write_private,
)
from clipper_site.stack.terminal import StackError


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_sockets_of_a_deep_var_live_in_a_short_folder() -> None:
    run_dir = run_dir_of(Path("/srv") / ("deep/" * 30))

    assert run_dir.parent == Path("/tmp")
    assert len(os.fsencode(run_dir)) < 50


def test_two_stacks_share_no_folder(tmp_path: Path) -> None:
    shorts = [layout_of(tmp_path / name, port=1).run_dir for name in ("a", "b")]
    deeps = [layout_of(tmp_path / ("deep/" * 30) / name, port=1).run_dir for name in ("a", "b")]

    assert len({*shorts, *deeps}) == 4


def test_the_same_var_by_another_name_is_the_same_stack(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert layout_of(tmp_path / "link", port=1) == layout_of(tmp_path / "real", port=1)


def test_the_short_folder_goes_with_its_stack(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / ("deep/" * 30), port=1)
    make_folders(layout)
    neighbour = layout_of(tmp_path / ("deep/" * 30) / "neighbour", port=1)
    make_folders(neighbour)
    remove_run_dir(layout)

    assert not layout.run_dir.exists()
    assert neighbour.run_dir.exists()
    remove_run_dir(neighbour)


def test_a_new_var_and_its_folders_are_private(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "some" / "var", port=1)
    make_folders(layout)

    folders = (layout.var, layout.run_dir, layout.logs, layout.redis_data)
    assert [mode_of(folder) for folder in folders] == [0o700] * 4
    remove_run_dir(layout)


def test_the_mode_of_a_folder_with_other_things_in_it_stays(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.tex").touch()
    layout = layout_of(tmp_path, port=1)
    make_folders(layout)

    assert mode_of(tmp_path) == 0o755
    remove_run_dir(layout)


def test_a_link_in_place_of_a_private_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StackError, match="not a folder of this user"):
        make_private(tmp_path / "run")


def test_a_secret_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "secret_key"
    key = keep_secret(file)
    assert len(key) >= 50
    assert mode_of(file) == 0o600
    file.chmod(0o644)
    assert keep_secret(file) == key
    assert mode_of(file) == 0o600


def test_a_private_file_replaces_an_open_one(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, text="new")

    assert file.read_text() == "new"
    assert mode_of(file) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_what_replicas_left_that_were_killed_with_their_stack_is_gone_at_the_next_start(
    tmp_path: Path,
) -> None:
    layout = layout_of(tmp_path / "var", port=1)
    make_folders(layout)
    socket = layout.run_dir / "r-0123456789ab.sock"
    unpacked = layout.temporary / "clipper-model-1"
    socket.touch()
    unpacked.mkdir()

    make_folders(layout)

    assert not socket.exists()
    assert not unpacked.exists()
    assert mode_of(layout.temporary) == 0o700


@pytest.mark.parametrize("text", ["", "0", "65536", "-1", "80a", "8000 ", "٨٠", "99999999999"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(StackError, match="expected 1 to 65535"):
        usable_port(text)


def test_the_console_has_a_port_of_its_own_if_it_is_given_another_one() -> None:
    assert [usable_console_port(text, beside=8000) for text in ("", "0", "8001")] == [0, 0, 8001]
    for text in ("8000", "http"):
        with pytest.raises(StackError, match=f"CLIPPER_CONSOLE_PORT={text}"):
            usable_console_port(text, beside=8000)


@pytest.mark.parametrize("character", ["%", '"', "\\", "\n", "\t", "\x7f"])
def test_a_folder_that_no_process_could_be_given_is_refused(character: str, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="choose a path without it"):
        usable_var(str(tmp_path / f"a{character}b"))


@pytest.mark.parametrize("name", ["var", "my var", "v#1", "v?x=1", "größe", "it's", "a&b;c"])
def test_other_characters_are_fine_and_reach_no_url(name: str, tmp_path: Path) -> None:
    layout = layout_of(usable_var(str(tmp_path / name)), port=1)

    assert layout.var.name == name
    assert not set("#?'& ;") & set(str(layout.redis_socket))
    assert str(layout.redis_socket).isascii()


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
