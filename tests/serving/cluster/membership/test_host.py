"""A host is told by where process ids mean the same: two containers of one name are two hosts."""

import subprocess
import sys
from pathlib import Path

import pytest

from serving.cluster.host import host_id

ROOT = Path(__file__).resolve().parents[4]
SAY_IT = [sys.executable, "-c", "from serving.cluster.host import host_id; print(host_id())"]
# A container's worth of isolation, with the host name left as it is.
CONTAINED = ["unshare", "--pid", "--uts", "--fork", "--mount-proc"]


def said(*wrapper: str) -> str:
    done = subprocess.run(
        [*wrapper, *SAY_IT], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def may_unshare() -> bool:
    try:
        done = subprocess.run([*CONTAINED, "true"], capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def test_processes_of_one_host_agree_on_its_id() -> None:
    assert said() == said() == host_id()


@pytest.mark.skipif(
    not may_unshare(), reason="needs `unshare --pid`, which only root may use, on Linux"
)
def test_containers_with_the_name_of_their_host_are_hosts_of_their_own() -> None:
    # Both at once, as a namespace that is over may give its number to the next.
    with (
        subprocess.Popen(
            [*CONTAINED, *SAY_IT[:2], f"{SAY_IT[2]}; input()"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as first,
    ):
        assert first.stdout is not None
        one = first.stdout.readline().strip()
        another = said(*CONTAINED)
        first.communicate("\n", timeout=60)

    assert len({one, another, host_id()}) == 3
