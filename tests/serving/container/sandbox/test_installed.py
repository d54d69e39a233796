"""A model may read the packages beside Clipper where it is installed from a wheel."""

import sysconfig
from pathlib import Path

import pytest

from serving.container.sandbox.confined import PACKAGE, readable_paths


def test_site_packages_are_readable_and_a_checkout_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = PACKAGE.parent.resolve()
    monkeypatch.syspath_prepend(project)
    assert project not in readable_paths(extra=[], hide=[], python=True)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(project))
    assert project in readable_paths(extra=[], hide=[], python=True)
    hidden = project / "serving"
    assert hidden not in readable_paths(extra=[], hide=[hidden], python=True)
