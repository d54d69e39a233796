"""What loading starts, and needs later, is started by the thread that stays."""

from __future__ import annotations

import sys
import threading

import pytest

from serving.cluster.replica.process import way_to_load
from serving.testing import version_spec


@pytest.mark.parametrize(
    ("runtime", "threads"), [("command", 1), ("remote", 1), ("sklearn", 2), ("sklearn", 1)]
)
def test_only_what_starts_nothing_is_loaded_in_a_thread_that_ends(
    runtime: str, threads: int
) -> None:
    way = way_to_load(version_spec(runtime=runtime, threads=threads))
    stays = way(threading.get_ident) == threading.get_ident()
    assert stays == ((runtime, threads) != ("sklearn", 1) or sys.platform != "linux")
