"""The recipe "A setting": one line where it is read and one text are a setting, everywhere."""

import pytest

from clipper_site import checks
from clipper_site.settings import ENV
from clipper_site.settings.env import Environment
from scripts.docs.from_settings import SECTIONS, variables
from tests.docs.code import settings_read

NAME = "CLIPPER_TOAST_S"


@pytest.fixture
def _one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENV.known, NAME, ENV.known["CLIPPER_PORT"])
    monkeypatch.setattr(ENV, "source", {NAME: "3"})
    assert ENV.whole(NAME, default=2, at_least=2) == 3
    monkeypatch.setitem(SECTIONS["size"], NAME, "Seconds that a slice is toasted.")


@pytest.mark.usefixtures("_one_more")
def test_a_new_setting_is_read_checked_and_in_the_reference() -> None:
    assert f"- `{NAME}` (`2`; at least 2): Seconds that a slice is toasted." in variables("size")
    assert NAME in settings_read()  # each of them has to be in docs/


def test_a_value_that_can_t_be_used_is_reported_by_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = Environment(source={NAME: "hot"})
    assert environment.whole(NAME, default=2, at_least=1) == 2
    monkeypatch.setattr(ENV, "wrong", environment.wrong)
    (found,) = (error for error in checks.environment_is_readable() if NAME in error.msg)
    assert found.id
    assert "at least 1" in f"{found.msg} {found.hint}"
