"""Models end with the server that forked them, and are forked again by another one."""

from __future__ import annotations

import psutil
import pytest

from tests.processes import command_of
from tests.serving.cluster.running_stack import Stack

pytestmark = pytest.mark.timeout(600)

FORK_SERVER = "serving.container.child.fork_server"


def fork_servers(stack: Stack) -> list[psutil.Process]:
    children = [child for worker in stack.workers.values() for child in worker.children()]
    return [child for child in children if FORK_SERVER in command_of(child)]


def test_replicas_are_replaced_when_their_fork_server_is_killed(stack: Stack) -> None:
    version = stack.add_version("forked", answer=1)
    stack.deploy_and_wait(version)
    (record,) = stack.wait_for_replicas(version)
    (server,) = [one for one in fork_servers(stack) if one.children()]
    server.kill()
    stack.wait_for_replicas(version, apart_from=[record])
    assert server.pid not in {one.pid for one in fork_servers(stack)}
    stack.retire("forked")
