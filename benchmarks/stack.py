"""A stack that is measured, with what it takes to change it, to ask it and to look into it."""

import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx
import psutil
from redis import Redis

from benchmarks.command import Failed, Say
from benchmarks.generator import OpenLoop
from benchmarks.processes import processes_by_role
from benchmarks.servers import Server, is_up, running, waited_for
from benchmarks.wrk import Load, LoadGenerator
from clipper_site import ROOT
from clipper_site.stack import redis_server
from clipper_site.stack.layout import HOST, free_port, layout_of

SCRIPT = ROOT / "scripts/run_stack.py"
STACK_SECONDS, RELEASE_SECONDS = 240.0, 120.0
ASKED_AT_ONCE = 500
# The demo's ensemble of five models.
DIGITS = "digits"
ROWS_OF_FEEDBACK = (
    "SELECT count(*) FROM selection_feedback JOIN registry_application AS application"
    " ON application.id = application_id WHERE application.name = ?"
)


class ManagementFailed(Failed):
    """The management API refused something, or a release failed."""


@dataclass(kw_only=True, eq=False)
class Stack(Server):
    """One stack with its demo. What an operator does over REST stops at the first refusal.
    `processes` are those of each role, as they were when last looked at.
    """

    folder: Path
    api_key: str
    client: httpx.Client
    redis: Redis
    processes: Mapping[str, list[psutil.Process]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wrk = LoadGenerator(api_key=self.api_key)
        self.open_loop = OpenLoop(api_key=self.api_key)

    def call(self, method: str, path: str, **content: Any) -> Any:
        """Call the API at that path below `/api/v1/`, and return what it answers."""
        response = self.client.request(method, f"/api/v1/{path}", **content)
        if response.is_error:
            raise ManagementFailed(
                f"{method} {path} answered {response.status_code}: {response.text[:500]}"
            )
        return response.json()

    def url_of(self, application: str) -> str:
        return f"{self.url}/api/v1/applications/{application}/predict"

    def predict(self, application: str, *, body: bytes) -> Any:
        return self.call("POST", f"applications/{application}/predict", content=body)

    def load(self, application: str, *, bodies: Path, connections: int) -> Load:
        """Return the load for wrk to put on that application, each query a new one."""
        return Load(self.url_of(application), bodies, unique=True, connections=connections)

    def receipts(self, application: str, *, inputs: Sequence[str], count: int) -> list[str]:
        """Ask about these inputs in turn, many at once, until there are so many receipts."""
        found: list[str] = []
        turn = cycle(inputs)
        while len(found) < count:
            some = islice(turn, min(ASKED_AT_ONCE, count - len(found)))
            body = f'{{"input_batch":[{",".join(some)}]}}'.encode()
            answers = self.predict(application, body=body)["batch_predictions"]
            found += [answer["query_id"] for answer in answers]
        return found

    def publish(
        self, model: str, *, input_type: str = "doubles", live: bool = True, **version: Any
    ) -> None:
        """Register the model with one version, and return when that version is live."""
        self.call("POST", "models/", json={"name": model, "input_type": input_type})
        self.upload(model, version="1", **version)
        if live:
            self.deploy(model, version="1")

    def upload(
        self,
        model: str,
        *,
        version: str,
        artifact: bytes,
        runtime: str = "sklearn",
        file: str = "model.skops",
        **fields: str,
    ) -> None:
        """Register one more version of a model, without deploying it."""
        given = {"version": version, "runtime": runtime, **fields}
        files = {"artifact": (file, artifact)}
        self.call("POST", f"models/{model}/versions/", data=given, files=files)

    def deploy(self, model: str, *, version: str) -> None:
        """Return when that version is live."""
        self._released(model, by=f"versions/{version}/deploy")

    def roll_back(self, model: str) -> None:
        """Return when the version that was live before is live again."""
        self._released(model, by="rollback")

    def scale(self, model: str, *, replicas: int) -> None:
        """Want so many replicas of the live version; they come and go behind it."""
        self.call("POST", f"models/{model}/scale", json={"replicas": replicas})

    def replicas(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "replicas/"))

    def _released(self, model: str, *, by: str) -> None:
        release = self.call("POST", f"models/{model}/{by}", json={})

        def live() -> bool:
            now = self.call("GET", f"models/{model}/releases/{release['id']}")
            if now["state"] in ("failed", "superseded"):
                raise ManagementFailed(f"The release is {now['state']}: {now['error']}")
            return bool(now["state"] == "live")

        waited_for(live, seconds=RELEASE_SECONDS, what="the release to be live", every=0.2)

    def route(
        self, application: str, *models: str, body: bytes | None = None, **fields: Any
    ) -> None:
        """Create an application that asks these models; with a body, return when one answers it."""
        given = {
            "name": application, "input_type": "doubles", "default_output": -1, "policy": "static",
            "routes": [{"model": model} for model in models],
        }  # fmt: skip
        self.call("POST", "applications/", json=given | fields)
        if body is not None:
            self.wait_until_answered(application, body=body)

    def wait_until_answered(self, application: str, *, body: bytes) -> None:
        """Return when a model answers, rather than the default output, and look again."""
        answered = lambda: not self.predict(application, body=body)["default"]  # noqa: E731
        waited_for(answered, seconds=RELEASE_SECONDS, what=f"{application} to be answered")
        self.look()

    def look(self, *others: int) -> None:
        """Find the processes of each role as they are now, and of other servers."""
        replicas = {one["pid"]: f"{one['model']}:{one['version']}" for one in self.replicas()}
        self.processes = processes_by_role(self.pid, *others, replicas=replicas)

    def rows_of_feedback(self, application: str) -> int:
        """Return the number of rows in the database."""
        return self.in_database(ROWS_OF_FEEDBACK, application)

    def in_database(self, query: str, *values: str) -> int:
        """Return the one number that a query finds."""
        database = self.folder / "var/clipper.sqlite3"
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
            return int(opened.execute(query, values).fetchone()[0])


@contextmanager
def running_stack(name: str = "", *, say: Say, **settings: str) -> Iterator[Stack]:
    """Start a whole stack with its demo; its state is in a folder that goes with it. `settings` are
    variables of its environment beyond those of the shell that are kept.
    """
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="clipper-bench-")))
        say(f"  Starting a stack with the demo{name and f' ({name})'} ...")
        var, port = folder / "var", free_port()
        url = f"http://{HOST}:{port}"

        def up() -> bool:
            return (var / "demo.json").exists() and is_up(f"{url}/health/ready")

        process = held.enter_context(
            running(
                [sys.executable, str(SCRIPT), f"--port={port}", f"--var={var}"],
                log=folder / "stack.log", up=up, seconds=STACK_SECONDS, settings=settings,
            )
        )  # fmt: skip
        api_key = json.loads((var / "demo.json").read_text())["api_key"]
        client = httpx.Client(
            base_url=url, headers={"Authorization": f"Api-Key {api_key}"}, timeout=30.0
        )
        stack = Stack(
            folder=folder,
            url=url,
            pid=process.pid,
            api_key=api_key,
            client=held.enter_context(client),
            redis=held.enter_context(Redis.from_url(redis_server.url(layout_of(var, port=0)))),
        )
        stack.look()
        yield stack
