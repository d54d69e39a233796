"""Make the state that `test_upgrade.py` starts from, with the code of a checkout of any commit.

    python -m tests.upgrade.make_state CHECKOUT

It writes `state.tar.xz`, what `make run` keeps, and `reported.json`, what that code said of it.
"""

from __future__ import annotations

import argparse
import io
import json
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import redis

from registry.demo.digits import held_out
from tests.integration.stack import Stack, eventually, post
from tests.upgrade.state import CONTEXTS, DATABASE, REPORTED, SECRET_KEY, STATE, listed, report

# Receipts are taken for sixty years, contexts kept for ten: the longest there is.
LASTING = {"feedback_window_s": 60 * 365 * 86_400, "context_ttl_s": 10 * 365 * 86_400}
# On a busy machine a model would be late within the demo's 50 ms.
PATIENT_MS = 2000
# The demo's other two are as large as all else together.
KEPT = ("svm-linear", "mlp", "naive-bayes")
DROPPED = ("svm-rbf", "knn")
PENDING = 3
# What processes write of themselves into Redis, and read of each other.
RECORDS = (
    *("clipper:replica:*", "clipper:worker:*", "clipper:view:*", "clipper:web:*"),
    "clipper:follower:*",
)


class Maker:
    """A running stack of the older code, and what its clients do."""

    def __init__(self, stack: Stack) -> None:
        inputs, labels = held_out()
        self.inputs: list[list[float]] = inputs.tolist()
        self.labels: list[int] = labels.tolist()
        self._stack = stack
        self._client = stack.client()

    def call(self, method: str, path: str, *, status: int = 200, **content: Any) -> Any:
        response = self._client.request(method, f"/api/v1/{path}", **content)
        assert response.status_code == status, f"{method} {path}: {response.text}"
        return response.json() if response.content else None

    def ask(self, application: str, number: int, **query: Any) -> Any:
        return post(self._client, f"{application}/predict", {"input": self.inputs[number], **query})

    def tell(self, application: str, items: list[dict[str, Any]]) -> None:
        said = post(self._client, f"{application}/feedback", {"feedback": items})
        assert said["accepted"] == len(items), said

    # --- the registry ---------------------------------------------------------------------

    def shrink_the_demo(self) -> None:
        for application in ("digits", "digits-single"):
            routes = [{"model": model} for model in KEPT]
            self.call("PUT", f"applications/{application}/routes", json=routes)
            self.call("PATCH", f"applications/{application}", json=LASTING)
            objective = {"latency_ms": PATIENT_MS}
            self.call("PATCH", f"applications/{application}/slo", json=objective)
        for model in DROPPED:
            self.call("DELETE", f"models/{model}", status=204)

    def make_application(self, name: str, *, policy: str, **settings: Any) -> None:
        body = {
            "name": name,
            "input_type": "doubles",
            "slo_ms": PATIENT_MS,
            "default_output": -1,
            "policy": policy,
            "routes": [{"model": "mlp"}, {"model": "naive-bayes"}],
        }
        self.call("POST", "applications/", status=201, json=body | LASTING | settings)

    def release(self, path: str, *, ends: str, **body: Any) -> None:
        began = self.call("POST", f"models/{path}", status=202, json=body)
        model = path.partition("/")[0]

        def over() -> bool:
            state = self.call("GET", f"models/{model}/releases/{began['id']}")["state"]
            assert state in {"pending", "starting", ends}, state
            return bool(state == ends)

        eventually(over, seconds=60, what=f"{path} is {ends}")

    def release_some(self) -> None:
        self.release("svm-linear/versions/2/deploy", ends="live", reason="a try")
        self.release("svm-linear/rollback", ends="live", reason="worse")
        self.release("mlp/versions/2/deploy", ends="live", reason="better")
        self.call(
            "POST",
            "models/naive-bayes/versions/",
            status=201,
            data={"version": "broken", "runtime": "sklearn", "notes": "can't be loaded"},
            files={"artifact": ("broken.skops", io.BytesIO(b"no model at all"))},
        )
        self.release("naive-bayes/versions/broken/deploy", ends="failed", reason="by mistake")
        self.call("PATCH", "models/mlp/versions/2", json={"max_batch_size": 64, "notes": "wider"})

    def keys(self) -> dict[str, str]:
        """Keys by name, after what each may do."""

        def made(name: str, *options: str) -> str:
            printed = self._stack.manage("create_api_key", name, *options)
            return next(word for word in printed.split() if word.startswith("clp_"))

        return {
            "bound": made("bound", "--scopes", "predict,feedback", "--application", "digits"),
            "reader": made("reader", "--scopes", "predict"),
            "expired": made("expired", "--scopes", "predict", "--expires-days", "0.000001"),
        }

    # --- learning -------------------------------------------------------------------------

    def teach(self, application: str, *, rounds: int, **query: Any) -> None:
        """In every context; who is called bob means each digit's successor."""
        for number in range(rounds):
            items = []
            for context in CONTEXTS:
                named = {"context": context} if context else {}
                answer = self.ask(application, number, **named, **query)
                label = (self.labels[number] + (context == "bob")) % 10
                items.append({"query_id": answer["query_id"], "label": label})
            self.tell(application, items)

    def teach_all(self) -> None:
        self.teach("digits", rounds=12)
        self.teach("digits-single", rounds=12)
        self.make_application("features", policy="linucb", policy_params={"dimensions": 2})
        self.teach("features", rounds=6, features=[1.0, 0.5])
        self.tell("digits", [{"input": self.inputs[40], "label": self.labels[40]}])
        rewarded = self.ask("digits-single", 41)["query_id"]
        self.tell("digits-single", [{"query_id": rewarded, "reward": 0.5}])
        self.forget_one()
        self.let_silence_count()

    def forget_one(self) -> None:
        """Reset what one context has learned."""
        answer = self.ask("digits", 42, context="forgotten")
        item = {"query_id": answer["query_id"], "label": self.labels[42]}
        self.tell("digits", [item])
        forgotten = {"context": "forgotten"}
        self.call("DELETE", "applications/digits/selection", status=204, params=forgotten)

    def let_silence_count(self) -> None:
        """Of some queries the window is over, of others it is not for decades."""
        brief = {"feedback_window_s": 2, "default_reward": 0.25}
        self.make_application("silence", policy="thompson", public=True, **brief)
        for number in range(6):
            self.ask("silence", number)
        eventually(lambda: self.feedback_of("silence") == 6, seconds=60, what="rewards by default")
        self.call("PATCH", "applications/silence", json=LASTING)
        for number in range(6, 10):
            self.ask("silence", number)

    def feedback_of(self, application: str) -> int:
        return sum(arm["feedback"] for arm in self._stack.learned(application, context=""))

    def receipts(self) -> dict[str, dict[str, Any]]:
        """Receipts of an application of their own, one with feedback and one without."""
        self.make_application("receipts", policy="exp3")
        told, untold = (
            {"query_id": self.ask("receipts", number)["query_id"], "label": self.labels[number]}
            for number in (50, 51)
        )
        self.tell("receipts", [told])
        return {"told": told, "untold": untold}

    def leave_pending(self) -> None:
        """Feedback that is acknowledged, while nobody moves it into the database."""
        self._stack.stop_program("control")
        for number in range(PENDING):
            answer = self.ask("digits", number, context="pending")
            self.tell("digits", [{"query_id": answer["query_id"], "label": self.labels[number]}])

    def answers(self) -> list[dict[str, Any]]:
        inputs = self.inputs[60:65]
        answered = [self.ask("digits", number) for number in range(60, 65)]
        assert all(len(answer["models"]) == len(KEPT) for answer in answered)
        return [
            {"input": input, "output": answer["output"], "models": answer["models"]}
            for input, answer in zip(inputs, answered, strict=True)
        ]


def make(checkout: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="clipper-state-") as folder:
        var = Path(folder) / "var"
        var.mkdir(mode=0o700)
        (var / "secret_key").write_text(SECRET_KEY)
        stack = Stack(var=var, root=checkout.resolve())
        try:
            stack.start()
            reported = live_through(stack)
            shrink_redis_file(stack)
            assert stack.stop() == 0, stack.text
        finally:
            stack.end()
        keep(var)
    REPORTED.write_text(json.dumps(reported, indent=1) + "\n")


def live_through(stack: Stack) -> dict[str, Any]:
    """All that this state remembers; returns what the code says at the end."""
    maker = Maker(stack)
    maker.shrink_the_demo()
    maker.release_some()
    keys = maker.keys()
    maker.teach_all()
    receipts = maker.receipts()
    answers = maker.answers()
    with stack.client() as client:
        settled(lambda: listed(client, "applications/digits/selection/history")["points"], s=12)
        records = records_of(stack)
        maker.leave_pending()
        said = settled(lambda: report(client), s=3)
    return {
        "keys": keys,
        "receipts": receipts,
        "answers": answers,
        "pending": PENDING,
        "records": records,
        **said,
    }


def records_of(stack: Stack) -> dict[str, str]:
    with redis.Redis.from_url(stack.redis_url, decode_responses=True) as client:
        keys = [key for pattern in RECORDS for key in client.keys(pattern)]
        # Between two of its process's writes one may be gone.
        found = zip(keys, client.mget(keys), strict=True)
        return {key: text for key, text in found if text is not None}


def settled(read: Callable[[], Any], *, s: float) -> Any:
    """Return what is read once it has been the same for `s` seconds, and isn't empty."""
    last = read()
    while True:
        time.sleep(s)
        now = read()
        if now and now == last:
            return now
        last = now


def shrink_redis_file(stack: Stack) -> None:
    with redis.Redis.from_url(stack.redis_url) as client:
        client.bgrewriteaof()
        eventually(
            lambda: not client.info("persistence")["aof_rewrite_in_progress"],
            seconds=90,
            what="the append-only file is written anew",
        )


def keep(var: Path) -> None:
    """Pack the database, the artifacts of its versions, the file of Redis, key and password."""
    with closing(sqlite3.connect(var / DATABASE)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("VACUUM")
        digests = {row[0] for row in database.execute("SELECT digest FROM registry_modelversion")}
    with tarfile.open(STATE, "w:xz", preset=9) as archive:
        for file in sorted(kept_files(var, digests=digests)):
            archive.add(file, arcname=str(file.relative_to(var)), filter=anonymous)


def kept_files(var: Path, *, digests: set[str]) -> Iterator[Path]:
    yield from (var / name for name in (DATABASE, "secret_key", "demo.json"))
    yield from (var / "redis").iterdir()
    for file in (var / "artifacts").rglob("*"):
        if file.is_file() and any(digest in str(file).replace("/", "") for digest in digests):
            yield file


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkout", type=Path, help="whose code makes it")
    make(parser.parse_args().checkout)
