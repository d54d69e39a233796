"""A stack's folders: private, apart from every other stack's, short enough for sockets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from clipper_site.stack.layout import (
    LONGEST_SOCKET_NAME,
    LONGEST_SOCKET_PATH,
    keep_secret,
    layout_of,
    make_folders,
    make_private,
    remove_run_dir,
    run_dir_of,
    write_private,
)
from clipper_site.stack.terminal import StackError


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_sockets_live_in_var_where_the_path_is_short() -> None:
    assert run_dir_of(Path("/srv/clipper/var")) == Path("/srv/clipper/var/run")


def test_sockets_of_a_deep_var_live_in_a_short_folder() -> None:
    run_dir = run_dir_of(Path("/srv") / ("deep/" * 30))

    assert run_dir.parent == Path("/tmp")
    assert len(os.fsencode(run_dir)) + LONGEST_SOCKET_NAME <= LONGEST_SOCKET_PATH


def test_bytes_count_for_a_socket_path_not_characters() -> None:
    assert run_dir_of(Path("/srv/" + "ü" * 30)).parent == Path("/tmp")


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


def test_a_var_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StackError, match="Can't make the folder"):
        make_folders(layout_of(tmp_path / "file" / "var", port=1))


def test_a_link_in_place_of_a_private_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StackError, match="not a folder of this user"):
        make_private(tmp_path / "run")


def test_the_secret_key_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "secret_key"
    key = keep_secret(file)

    assert len(key) >= 50
    assert mode_of(file) == 0o600
    assert keep_secret(file) == key


def test_a_secret_key_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    file = tmp_path / "secret_key"
    file.write_text("k" * 60)
    file.chmod(0o644)

    assert keep_secret(file) == "k" * 60
    assert mode_of(file) == 0o600


def test_an_empty_secret_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret_key").touch()

    with pytest.raises(StackError, match="is empty"):
        keep_secret(tmp_path / "secret_key")


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
