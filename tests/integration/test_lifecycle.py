"""Starting, stopping and starting again: beside another stack, in a folder with a long path."""

import signal
import subprocess

import psutil

from scripts.stack.command import start_command
from tests.integration.stack import Stack, post


def test_a_second_stack_keeps_its_data_and_leaves_no_process_behind(stack, tmp_path, digits):
    """Its sockets would not fit into the folder: a Unix socket's path has 108 bytes at most."""
    deep = tmp_path / ("a-rather-long-name-" * 6)
    deep.mkdir()
    second = Stack(var=deep / "var")
    try:
        second.start()
        assert second.demo["api_key"] != stack.demo["api_key"]
        ask(second, digits)
        assert stop_cleanly(second, by=signal.SIGTERM) == 0

        first_start = second.demo
        second.start()
        assert second.demo == first_start
        assert "Trained" not in second.text
        learned = ask(second, digits)
        assert [arm["feedback"] for arm in learned] == [2] * 5
        assert stop_cleanly(second, by=signal.SIGINT) == 0
    finally:
        second.end()
    assert stack.ready()


def ask(stack: Stack, digits) -> list[dict]:
    """One question with its feedback; returns what has been learned since the first start."""
    inputs, labels = digits
    with stack.client() as client:
        answer = post(client, "digits/predict", {"input": inputs[0], "context": "kept"})
        item = {"query_id": answer["query_id"], "label": labels[0]}
        assert post(client, "digits/feedback", item)["accepted"] == 1
    return stack.learned("digits", context="kept")


def stop_cleanly(stack: Stack, *, by: signal.Signals) -> int:
    started = stack.descendants()
    assert len(started) > 10
    status = stack.stop(by=by)
    left = [process for process in started if alive(process)]
    assert left == []
    return status


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_taken_port_is_refused_with_one_line(stack, tmp_path):
    refused = subprocess.run(
        start_command(tmp_path / "var", port=stack.port),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert str(stack.port) in refused.stderr
