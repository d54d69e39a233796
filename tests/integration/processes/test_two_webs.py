"""Two web processes at once: what one learns the other knows, and neither needs the other."""

import os
import re
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.integration.conftest import Digits, copy_of, make_application
from tests.integration.stack import QUESTIONS, Load, Stack, eventually, post

# `serving/http` and `serving/master` have several processes at one address,
# `selection/test_journal` has several that learn at once.
pytestmark = pytest.mark.long

CONNECTIONS = 64
# Each process complains of whatever it was not meant to do: test_nothing_is_complained_of.
STRICT = {"PYTHONASYNCIODEBUG": "1", "PYTHONWARNINGS": "default"}
COMPLAINT = re.compile(r"Warning: |never awaited|never retrieved|Traceback")
# Celery's, of whoever runs the tests as root.
OTHERS = re.compile(r"SecurityWarning")
MODEL, ARM = "svm-linear", "svm-linear:1"


class Webs:
    """A stack with two web processes, and a client with a connection to each of them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.application = make_application(stack, name="patient", policy="exp4")
        # Asks the console: a connection that has been there may come back to either process.
        self.operator = stack.client()
        self.by_pid: dict[int, httpx.Client] = {}
        for _ in range(CONNECTIONS):
            client = stack.client(limits=httpx.Limits(max_connections=1), timeout=60.0)
            if self.by_pid.setdefault(self.process_of(client), client) is not client:
                client.close()
            if len(self.by_pid) == 2:
                return
        raise AssertionError(f"{CONNECTIONS} connections led to {self.by_pid.keys()}")

    def process_of(self, client: httpx.Client) -> int:
        """The process at the other end of the client's only connection, which is kept open."""
        answer = client.get("/health/live")
        ours = answer.extensions["network_stream"].get_extra_info("client_addr")
        return next(
            worker.pid
            for worker in self.workers()
            if any(c.raddr and tuple(c.raddr) == ours for c in worker.net_connections("tcp4"))
        )

    def workers(self) -> list[psutil.Process]:
        return self.stack.web_processes()

    @property
    def clients(self) -> list[httpx.Client]:
        return list(self.by_pid.values())

    def metrics(self) -> str:
        return httpx.get(f"{self.stack.url}/metrics", timeout=30.0).text

    def counted(self) -> Counter[int]:
        """Queries of our application that each process has published, by process id."""
        counted: Counter[int] = Counter()
        for line in self.metrics().splitlines():
            name, _, labels = line.partition("{")
            if name == "clipper_application_queries_total" and f'"{self.application}"' in labels:
                process = labels.partition('process="')[2].partition("-")[0]
                counted[int(process)] += int(float(line.rpartition(" ")[2]))
        return counted

    def predict(self, client: httpx.Client, input: list[float], **fields: Any) -> dict[str, Any]:
        answer: dict[str, Any] = post(
            client, f"{self.application}/predict", {"input": input, **fields}
        )
        return answer

    def close(self) -> None:
        for client in (self.operator, *self.clients):
            client.close()


@pytest.fixture(scope="module")
def webs(first: Stack) -> Iterator[Webs]:
    folder = Path(tempfile.mkdtemp(prefix="clipper-webs-"))
    stack = Stack(
        var=copy_of(first, to=folder / "var"), settings=STRICT | {"CLIPPER_WEB_WORKERS": "2"}
    )
    try:
        stack.start()
        found = Webs(stack)
        yield found
        found.close()
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        stack.end()


def new(input: list[float]) -> list[float]:
    """The same image as a question that was never asked."""
    return [input[0] + next(QUESTIONS) * 1e-9, *input[1:]]


def test_both_answer_and_the_metrics_of_either_show_both(webs: Webs, digits: Digits) -> None:
    for number, client in enumerate(webs.clients):
        for input in digits[0][: 5 + number]:
            assert not webs.predict(client, input)["default"]
    expected = {pid: 5 + number for number, pid in enumerate(webs.by_pid)}
    eventually(lambda: webs.counted() == expected, seconds=90, what="both have published")


def test_feedback_on_the_others_prediction_counts_once(webs: Webs, digits: Digits) -> None:
    (one, other), (inputs, labels) = webs.clients, digits
    receipt = webs.predict(one, inputs[0], context="shared")["query_id"]
    item = {"query_id": receipt, "label": labels[0]}
    results = [post(client, f"{webs.application}/feedback", item) for client in (other, one, other)]

    assert [result["accepted"] for result in results] == [1, 0, 0]
    assert [result["duplicates"] for result in results] == [0, 1, 1]
    for client in webs.clients:
        path = f"/api/v1/applications/{webs.application}/selection"
        learned = client.get(path, params={"context": "shared"}).json()
        assert [arm["feedback"] for arm in learned["arms"]] == [1] * 5
    assert webs.stack.feedback_rows(context="shared", wait_for=1) == 1


def test_a_change_of_settings_reaches_both(webs: Webs, digits: Digits) -> None:
    input = digits[0][1]

    def sources() -> set[str]:
        answers = [webs.predict(client, input, explain=True) for client in webs.clients]
        return {asked["from"] for a in answers for asked in a["explain"]["models"].values()}

    path = f"/api/v1/applications/{webs.application}"
    sources()
    assert sources() == {"cache"}
    assert webs.operator.patch(path, json={"cache": False}).status_code == 200
    eventually(lambda: sources() == {"model"}, seconds=90, what="both ask the models")
    assert webs.operator.patch(path, json={"cache": True}).status_code == 200
    eventually(lambda: sources() == {"cache"}, seconds=90, what="both look into their caches")


def test_a_deploy_and_a_rollback_reach_both_and_nobody_gets_a_default(
    webs: Webs, digits: Digits
) -> None:
    def serve(version: str) -> bool:
        answers = [webs.predict(client, new(digits[0][2])) for client in webs.clients]
        return all(f"{MODEL}:{version}" in answer["models"] for answer in answers)

    with Load(webs.stack, application=webs.application, inputs=digits[0], threads=6) as load:
        eventually(lambda: load.count() > 50, seconds=60, what="load")
        for path, version in (("versions/2/deploy", "2"), ("rollback", "1")):
            begun = webs.operator.post(f"/api/v1/models/{MODEL}/{path}", json={})
            assert begun.status_code == 202, begun.text
            eventually(partial(serve, version), seconds=90, what=f"both serve version {version}")
        enough = load.count() + 50
        eventually(lambda: load.count() > enough, seconds=60, what="load afterwards")
    assert load.errors == []
    assert load.defaults == []


def test_killing_one_leaves_the_other_serving(webs: Webs, digits: Digits) -> None:
    (killed, lost), (kept, client) = webs.by_pid.items()
    os.kill(killed, signal.SIGKILL)

    def replaced() -> bool:
        """Asked all the while, the other one answers, until a third one publishes its numbers."""
        assert not webs.predict(client, new(digits[0][4]))["default"]
        others = {worker.pid for worker in webs.workers()} - {killed, kept}
        return any(f'process="{pid}-' in webs.metrics() for pid in others)

    eventually(replaced, seconds=90, what="another process in its place")
    lost.close()
    assert kept in {worker.pid for worker in webs.workers()}


def test_nothing_is_complained_of_from_start_to_stop(webs: Webs) -> None:
    webs.close()
    assert webs.stack.stop() == 0, webs.stack.text
    complaints = [
        "\n".join([f"{file.name}:", *lines[at : at + 25]])
        for file in sorted((webs.stack.var / "log").glob("*.log"))
        for lines in [file.read_text(errors="replace").splitlines()]
        for at, line in enumerate(lines)
        if COMPLAINT.search(line) and not OTHERS.search(line)
    ]
    assert complaints == []
