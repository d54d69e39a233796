"""One part after another is killed under load; acknowledged feedback is kept, each once."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import httpx
import psutil
import pytest
from redis import Redis

from selection.store.redis_keys import PERSIST_LOCK
from tests.integration.conftest import Digits
from tests.integration.stack import PAUSE_S, Load, Stack, eventually

RECOVERY_S = 60.0


class FeedbackLoad:
    """Sends feedback until it is stopped, again where the outcome is unknown; counts the kept."""

    def __init__(
        self,
        stack: Stack,
        *,
        application: str,
        inputs: list[list[float]],
        labels: list[int],
        context: str,
    ) -> None:
        self.acknowledged = 0
        self._path = f"/api/v1/applications/{application}"
        self._stack = stack
        self._inputs, self._labels = inputs, labels
        self._context = context
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        number = 0
        with self._stack.client(timeout=5.0) as client:
            while not self._stopping.is_set():
                number = (number + 1) % len(self._inputs)
                body = {"input": self._inputs[number], "context": self._context}
                receipt = self._until_answered(client, "predict", body)["query_id"]
                item = {"query_id": receipt, "label": self._labels[number]}
                result = self._until_answered(client, "feedback", item)
                # A resend may find that the first one had been counted after all.
                assert result["accepted"] + result["duplicates"] == 1, result
                self.acknowledged += 1
                self._stopping.wait(PAUSE_S)

    def _until_answered(
        self, client: httpx.Client, what: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while True:
            try:
                response = client.post(f"{self._path}/{what}", json=body)
                if response.status_code == 200:
                    answer: dict[str, Any] = response.json()
                    return answer
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline, f"{what} was not answered for 60 s"
            time.sleep(0.05)


def one_replica(stack: Stack) -> int:
    replicas = stack.replicas("knn")
    return replicas[0]["pid"] if replicas else 0


def cpu_worker(stack: Stack) -> int:
    return stack.pid_of("cpu-worker")


def redis(stack: Stack) -> int:
    return stack.pid_of("redis")


def control_worker(stack: Stack) -> int:
    return stack.pid_of("control")


def web_process(stack: Stack) -> int:
    return next((process.pid for process in stack.web_processes()), 0)


def web_master(stack: Stack) -> int:
    return stack.pid_of("predict")


def console_process(stack: Stack) -> int:
    return next((process.pid for process in stack.web_processes("console")), 0)


def console_master(stack: Stack) -> int:
    return stack.pid_of("console")


@pytest.mark.parametrize(
    ("pid_of", "clients_notice"),
    [
        (one_replica, False),
        (cpu_worker, True),
        (redis, False),
        (control_worker, False),
        (web_process, True),
        (web_master, True),
        (console_process, False),
        (console_master, False),
    ],
)
def test_killed_under_load_it_is_back_and_lost_nothing(
    stack: Stack,
    patient: str,
    digits: Digits,
    pid_of: Callable[[Stack], int],
    clients_notice: bool,
    record_property: Callable[[str, object], None],
) -> None:
    inputs, labels = digits
    context = pid_of.__name__
    before = stack.feedback_rows(context=context, wait_for=0)
    eventually(stack.ready, seconds=RECOVERY_S, what="ready before the kill")
    with (
        Load(stack, application=patient, inputs=inputs) as load,
        FeedbackLoad(
            stack, application=patient, inputs=inputs, labels=labels, context=context
        ) as feedback,
    ):
        eventually(
            lambda: feedback.acknowledged >= 20 and load.count() > 50,
            seconds=RECOVERY_S,
            what="load",
        )
        killed_at = time.monotonic()
        kill(stack, pid_of, load=load)
        settled_at = time.monotonic()
        eventually(
            lambda: len(load.after(settled_at)) > 50, seconds=RECOVERY_S, what="load afterwards"
        )
    record_property("healthy_after_s", round(settled_at - killed_at, 2))
    record_property("errors", len(load.errors))
    record_property("defaults", len(load.defaults))
    assert clients_notice or not load.errors
    assert clients_notice or not load.defaults
    afterwards = load.after(settled_at)
    assert all(one.status == 200 and not one.default for one in afterwards)
    rows = stack.feedback_rows(context=context, wait_for=before + feedback.acknowledged)
    assert rows - before == feedback.acknowledged
    counted = counted_once(stack, patient, context=context)
    assert pid_of not in (redis, control_worker) or counted == {rows}


def test_after_all_of_them_the_rows_teach_what_was_learned_to_the_bit(
    stack: Stack, patient: str
) -> None:
    assert stack.rebuilt(patient, "--dry-run").endswith("; Redis has the same.")


def kill(stack: Stack, pid_of: Callable[[Stack], int], *, load: Load) -> None:
    """Kill it, and wait until another one is in its place and all models answer again."""
    killed = pid_of(stack)
    os.kill(killed, signal.SIGKILL)
    if pid_of is control_worker:
        leave_its_lock(stack)
    eventually(
        lambda: replaced(lambda: pid_of(stack), killed) and stack.is_whole(),
        seconds=RECOVERY_S,
        what="it was replaced",
    )
    replaced_at = time.monotonic()
    eventually(
        lambda: full_answers_since(load, replaced_at),
        seconds=RECOVERY_S,
        what="all five models answer again",
    )


def counted_once(stack: Stack, application: str, *, context: str) -> set[int]:
    """Return the counts of judgements that arms have learned from, which are those of the rows."""
    # What an arm missed while its replicas were gone isn't held against it, so is no judgement.
    learned = stack.learned(application, context=context)
    counted = {f"{arm['model']}:{arm['version']}": arm["feedback"] for arm in learned}
    assert counted == stack.judged_rows(context=context)
    return set(counted.values())


def leave_its_lock(stack: Stack) -> None:
    """Leave the lock of a drain behind, as the control worker does that is killed in one."""
    with Redis.from_url(stack.redis_url) as kept:
        kept.set(PERSIST_LOCK, "a dead drain", px=5000, nx=True)


def replaced(pid_of: Callable[[], int], killed: int) -> bool:
    """Return if another process runs in its place; while it is being restarted there is none."""
    try:
        return pid_of() not in (0, killed)
    except (httpx.HTTPError, psutil.NoSuchProcess):
        return False


def full_answers_since(load: Load, moment: float) -> bool:
    """Return if the latest answers come from all five models again."""
    latest = load.after(moment)[-10:]
    return len(latest) == 10 and all(len(one.body.get("models", ())) == 5 for one in latest)
