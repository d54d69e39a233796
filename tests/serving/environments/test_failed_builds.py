"""A build that failed is tried again after a pause, or at once if that is asked for."""

import time
from pathlib import Path

import pytest

from serving.container.failures.container_errors import EnvironmentFailed
from serving.environments.store import PAUSE_S, Environments
from tests.serving.environments.wheels import needs, offline


def test_it_is_told_again_and_not_tried_for_a_while_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environments = Environments(tmp_path / "environments", rules=offline(tmp_path))

    def refused(*, afresh: bool = False) -> EnvironmentFailed:
        with pytest.raises(EnvironmentFailed) as refusal:
            environments.prepare(needs("grill"), afresh=afresh)
        return refusal.value

    first = refused()
    again = refused()
    assert (str(again), again.remembered) == (str(first), True)
    assert not refused(afresh=True).remembered
    later = time.time() + PAUSE_S
    monkeypatch.setattr(time, "time", lambda: later)
    assert not refused().remembered
