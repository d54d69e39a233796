"""The whole stack as a user starts it, for tests that ask it, kill parts of it and watch it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx
import psutil
from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]

from clipper_site import ROOT
from clipper_site.stack.layout import free_port

START_S = 400.0
# For what is asked without TLS, and again and again while a test waits: to read whom this machine
# trusts takes httpx 7 ms for each client.
TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# Between two queries of a client. Four of them ask 80 times a second at most: with 300, which is
# all that two cores can do, a test is as dear as it is long.
PAUSE_S = 0.05
# What the command of a process that answers has in it.
WEB_PROCESS = "serving.http.server"
QUESTIONS = itertools.count(1)


def eventually(
    condition: Callable[[], Any], *, seconds: float, what: str, pause: float = 0.05
) -> Any:
    """Return the first true value of `condition`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(pause)


def post(client: httpx.Client, path: str, body: Any) -> Any:
    """Return an application's answer, which must be a success; `path` begins with its name."""
    response = client.post(f"/api/v1/applications/{path}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


class Stack:
    """One `scripts/run_stack.py`, started on a free port with its own folder and settings."""

    def __init__(
        self,
        *,
        var: Path,
        settings: Mapping[str, str] | None = None,
        root: Path = ROOT,
        demo: bool = True,
        python: Path | None = None,
    ) -> None:
        """`python` is the one that it runs in, ours if left out."""
        self.var = var
        self._python = str(python or sys.executable)
        self._with_demo = demo
        self.root = root
        # Checks of the lowest priority would wait for minutes beside the suite's other processes.
        self.settings = {"CLIPPER_CHECK_NICE": "0", **(settings or {})}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = var.parent / f"{var.name}.out"
        self._process: subprocess.Popen[bytes] | None = None
        self.demo: dict[str, Any] = {}

    def start(self) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("CLIPPER_", "DJANGO_"))}
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *(self._python, str(self.root / "scripts/run_stack.py")),
                    *(f"--port={self.port}", f"--var={self.var}"),
                    *(() if self._with_demo else ("--no-demo",)),
                ],
                cwd=self.root,
                env=clean | self.settings,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually(self._announced, seconds=START_S, what="the stack is up", pause=0.2)
        demo = self.var / "demo.json"
        self.demo = json.loads(demo.read_text()) if demo.exists() else {}

    def stop(self, *, by: signal.Signals = signal.SIGINT) -> int:
        """Stop it as a user would; returns the exit status."""
        assert self._process is not None
        self._process.send_signal(by)
        return self._process.wait(timeout=60)

    def end(self) -> None:
        """Leave nothing behind, however the tests ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                for process in (*self.descendants(), psutil.Process(self._process.pid)):
                    process.kill()

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def _announced(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the stack ended:\n{self.text}"
        return "Ctrl-C stops everything" in self.text

    # --- its processes --------------------------------------------------------------------

    def descendants(self) -> list[psutil.Process]:
        assert self._process is not None
        return psutil.Process(self._process.pid).children(recursive=True)

    def pid_of(self, program: str) -> int:
        """The process id of one of supervisord.conf's programs; 0 while it isn't running."""
        with self._supervisor() as proxy:
            return int(proxy.supervisor.getProcessInfo(program)["pid"])  # type: ignore[index, call-overload]  # a dict

    def web_processes(self, kind: str = "predict") -> list[psutil.Process]:
        """The processes of a kind that answer, without the master that keeps them alive."""
        master = self.pid_of(kind)
        found = []
        for child in psutil.Process(master).children() if master else ():
            with suppress(psutil.NoSuchProcess):  # also of one that nobody has reaped
                if WEB_PROCESS in child.cmdline():
                    found.append(child)
        return found

    def stop_program(self, program: str) -> None:
        """Stop one of supervisord.conf's programs, and wait until it has ended."""
        with self._supervisor() as proxy:
            proxy.supervisor.stopProcess(program)

    @contextmanager
    def without(self, program: str) -> Iterator[None]:
        """Have one of supervisord.conf's programs stopped while the block runs."""
        self.stop_program(program)
        try:
            yield
        finally:
            with self._supervisor() as proxy:
                proxy.supervisor.startProcess(program)
            eventually(self.is_whole, seconds=START_S, what=f"{program} is back")

    def _supervisor(self) -> xmlrpc.client.ServerProxy:
        path = next((self.run_dir).glob("supervisor.sock"))
        password = (self.var / "control_password").read_text()
        transport = SupervisorTransport("clipper", password, f"unix://{path}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)

    @property
    def run_dir(self) -> Path:
        return Path(self._exported("CLIPPER_RUN_DIR"))

    @property
    def redis_url(self) -> str:
        return self._exported("REDIS_URL")

    def _exported(self, name: str) -> str:
        """Return the value of this name in a shell that has read env.sh."""
        script = f'. "$0" && printf %s "${name}"'
        value = subprocess.check_output(["/bin/sh", "-c", script, self.var / "env.sh"], text=True)
        assert value, f"env.sh exports no {name}"
        return value

    # --- its surface ----------------------------------------------------------------------

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Api-Key {self.demo['api_key']}"}

    def client(self, **changes: Any) -> httpx.Client:
        return httpx.Client(
            **{
                "base_url": self.url,
                "headers": self.headers,
                "timeout": 30.0,
                "verify": TRUSTS_NOBODY,
                **changes,
            }
        )

    def ready(self) -> bool:
        try:
            return self._seen("/health/ready", timeout=5.0).status_code == 200
        except httpx.HTTPError:
            return False

    def is_whole(self) -> bool:
        """Return if both kinds of web process answer, at their one address."""
        try:
            console = self._seen("/health/console", timeout=5.0)
        except httpx.HTTPError:
            return False
        return console.status_code == 200 and self.ready()

    def _seen(self, path: str, *, timeout: float) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=timeout, verify=TRUSTS_NOBODY)

    @property
    def console_socket(self) -> Path:
        """Return the console's socket for requests that don't use the stack's address."""
        return self.run_dir / "console-http.sock"

    def replicas(self, model: str) -> list[dict[str, Any]]:
        with self.client() as client:
            found = client.get("/api/v1/replicas/").json()
        return [r for r in found if r["model"] == model and r["state"] == "ready"]

    def learned(self, application: str, *, context: str) -> list[dict[str, Any]]:
        """The arms as feedback in this context has left them, without how reliably each answers."""
        with self.client() as client:
            path = f"/api/v1/applications/{application}/selection"
            response = client.get(path, params={"context": context})
        assert response.status_code == 200, response.text
        arms: list[dict[str, Any]] = response.json()["arms"]
        return [{name: arm[name] for name in arm if name != "reliability"} for arm in arms]

    def hits(self, *, more_than: int = -1) -> int:
        """Cache hits of all versions, once a publication shows more than `more_than`."""

        def count() -> int:
            text = self._seen("/metrics", timeout=30.0).text
            lines = [ln for ln in text.splitlines() if ln.startswith("clipper_version_hits_total{")]
            return int(sum(float(line.rpartition(" ")[2]) for line in lines))

        eventually(lambda: count() > more_than, seconds=90, what="cache hits published")
        return count()

    def feedback_rows(self, *, context: str, wait_for: int) -> int:
        """Rows of the feedback table with this context, once there are `wait_for` of them."""

        def count() -> int:
            return self._number(
                "SELECT count(*) FROM selection_feedback WHERE context = ?", context
            )

        eventually(lambda: count() >= wait_for, seconds=90, what=f"{wait_for} rows, got {count()}")
        return count()

    def judged_rows(self, *, context: str) -> dict[str, int]:
        """Return how many rows with this context judge each arm: at least all that it answered."""
        query = "SELECT arms FROM selection_feedback WHERE context = ?"
        with closing(self._database()) as database:
            rows = [json.loads(arms) for (arms,) in database.execute(query, (context,))]
        asked = [arm for row in rows for arm in row]
        assert not [arm for arm in asked if arm["output"] is not None and arm["loss"] is None]
        return dict(Counter(arm["arm"] for arm in asked if arm["loss"] is not None))

    def application_id(self, name: str) -> int:
        return self._number("SELECT id FROM registry_application WHERE name = ?", name)

    def _number(self, query: str, *parameters: str) -> int:
        """Return the result of a query of the database, which must be one number."""
        with closing(self._database()) as database:
            return int(database.execute(query, parameters).fetchone()[0])

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.var / 'clipper.sqlite3'}?mode=ro", uri=True)

    def rebuilt(self, application: str, *options: str) -> str:
        """The last line of rebuilding what an application has learned."""
        command = ("rebuild_selection_state", "--application", application, *options)
        return self.manage(*command).splitlines()[-1]

    def new_key(self, name: str, *options: str, scopes: str) -> str:
        printed = self.manage("create_api_key", name, "--scopes", scopes, *options)
        return next(word for word in printed.split() if word.startswith("clp_"))

    def manage(self, *command: str) -> str:
        """Run a management command with the stack's own environment."""
        script = f'. "{self.var}/env.sh" && exec "{self._python}" manage.py "$@"'
        done = subprocess.run(
            ["bash", "-c", script, "manage", *command],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@dataclass(slots=True)
class Seen:
    """One answer as a client saw it: when it asked (monotonic), how long it took, how it ended."""

    at: float
    seconds: float
    status: int | str
    default: bool = False
    body: dict[str, Any] = field(default_factory=dict)


class Asked(Protocol):
    """A stack, or whatever else makes clients of one."""

    def client(self, **changes: Any) -> httpx.Client: ...


class Load:
    """Constant load from a few threads until it is stopped; every answer is kept."""

    def __init__(
        self,
        stack: Asked,
        *,
        application: str,
        inputs: list[list[float]],
        threads: int = 4,
        pause_s: float = PAUSE_S,
    ) -> None:
        self.seen: list[Seen] = []
        self._pause_s = pause_s
        self._stack = stack
        self._path = f"/api/v1/applications/{application}/predict"
        self._inputs = inputs
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,), daemon=True)
            for number in range(threads)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=40)

    def count(self) -> int:
        with self._lock:
            return len(self.seen)

    def more(self) -> None:
        """Return when there are twenty more answers."""
        seen = self.count()
        eventually(lambda: self.count() > seen + 20, seconds=60, what="answers")

    def latest(self) -> Seen:
        with self._lock:
            return self.seen[-1]

    def after(self, moment: float) -> list[Seen]:
        with self._lock:
            return [one for one in self.seen if one.at >= moment]

    @property
    def errors(self) -> list[Seen]:
        return [one for one in self.seen if one.status != 200]

    @property
    def defaults(self) -> list[Seen]:
        return [one for one in self.seen if one.default]

    def _ask(self, number: int) -> None:
        at = number * len(self._inputs) // len(self._threads)
        with self._stack.client(timeout=20.0) as client:
            while not self._stopping.is_set():
                at = (at + 1) % len(self._inputs)
                input = list(self._inputs[at])
                # Never the same twice, so that a model answers and not the cache.
                input[0] += next(QUESTIONS) * 1e-9
                self._record(client, input)
                self._stopping.wait(self._pause_s)

    def _record(self, client: httpx.Client, input: list[float]) -> None:
        at = time.monotonic()
        try:
            response = client.post(self._path, json={"input": input})
            body = response.json()
            seen = Seen(
                at, time.monotonic() - at, response.status_code, body.get("default", False), body
            )
        except httpx.HTTPError as error:
            seen = Seen(at, time.monotonic() - at, type(error).__name__)
        with self._lock:
            self.seen.append(seen)
