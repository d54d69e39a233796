"""A folder and a port belong to one stack at a time, and the refusal is one clear line."""

import multiprocessing
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipper_site import ROOT
from clipper_site.stack.layout import free_port, refuse_taken_port, sole_stack_of
from clipper_site.stack.terminal import StackError


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def start_stack(*, var: Path, port: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/run_stack.py"), f"--port={port}", f"--var={var}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_a_taken_port_is_refused_with_one_line(taken_port: int, tmp_path: Path) -> None:
    refused = start_stack(var=tmp_path / "var", port=taken_port)

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.splitlines() == [
        f"clipper: Port {taken_port} on 127.0.0.1 is taken: "
        f"choose another, e.g. make run PORT={taken_port + 1}."
    ]


def test_a_taken_folder_is_refused_with_one_line(tmp_path: Path) -> None:
    with sole_stack_of(tmp_path):
        refused = start_stack(var=tmp_path, port=free_port())

    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "A stack already runs on" in refused.stderr


def test_a_port_just_left_is_free() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.listen()
        with socket.create_connection(("127.0.0.1", port)):
            listener.accept()[0].close()  # the side that closes first keeps TIME_WAIT

    refuse_taken_port("127.0.0.1", port=port)


def hold(var: Path, held: object) -> None:
    with sole_stack_of(var):
        held.set()  # type: ignore[attr-defined]
        multiprocessing.Event().wait()


def test_the_folder_is_free_after_its_holder_was_killed(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    held = spawn.Event()
    holder = spawn.Process(target=hold, args=(tmp_path, held))
    holder.start()
    assert held.wait(30)

    with pytest.raises(StackError, match=f"process {holder.pid}"), sole_stack_of(tmp_path):
        pass
    holder.kill()
    holder.join(10)
    holder.close()

    with sole_stack_of(tmp_path):
        pass


def test_a_free_port_is_none_that_connections_are_given() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    found = {free_port() for _ in range(20)}
    assert len(found) > 1
    assert all(not first <= port <= last for port in found)
