"""Settings of where packages come from: what can't work is said before a start."""

from __future__ import annotations

from pathlib import Path

from tests.site import manage


def test_no_index_and_no_wheels_is_an_error(tmp_path: Path) -> None:
    said = manage.checked(var=tmp_path, CLIPPER_PIP_NO_INDEX="1")
    assert "(clipper.E007) CLIPPER_PIP_NO_INDEX is set, but CLIPPER_PIP_WHEELHOUSE is not" in said
    wheels = {"CLIPPER_PIP_WHEELHOUSE": str(tmp_path)}
    assert manage.checked(var=tmp_path, CLIPPER_PIP_NO_INDEX="1", **wheels) == ""


def test_the_index_s_credentials_are_in_no_word(tmp_path: Path) -> None:
    said = manage.checked(
        var=tmp_path,
        CLIPPER_PIP_INDEX_URL="https://me:hunter2@pypi.example.com/simple",
        CLIPPER_PIP_NO_INDEX="perhaps",
    )
    assert "(clipper.E001) CLIPPER_PIP_NO_INDEX is 'perhaps'" in said
    assert "hunter2" not in said
