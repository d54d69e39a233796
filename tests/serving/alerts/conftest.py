"""The registry's cast, and a clock that tests move."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from serving.alerts import alert_states, outbox
from tests.registry.conftest import _own_folder, add_version, digits, svm, v1

__all__ = ["_own_folder", "add_version", "digits", "svm", "v1"]

Wait = Callable[[float], None]


_now = [timezone.now()]


def moment() -> datetime:
    """Return the time by the clock that tests move."""
    return _now[0]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Let so many seconds pass."""
    _now[0] = timezone.now()
    for module in (alert_states, outbox):
        monkeypatch.setattr(module, "clock", moment)

    def passing(seconds: float) -> None:
        _now[0] += timedelta(seconds=seconds)

    return passing
