"""The stack of deploy/compose.yaml, as a user of it has it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from clipper_client import Client
from clipper_site.stack.layout import free_port
from tests.containers.podman import CLIPPER, DATABASES, Podman
from tests.integration.stack import TRUSTS_NOBODY, Load

# What each kind of process keeps of Compose's deadlines; a busy machine takes longer than these.
HEALTHY_S = 240.0
DIGITS = "digits"


class Composed:
    """Started once for all tests; `key` may do what each of them wants."""

    def __init__(self, podman: Podman) -> None:
        self.podman = podman
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.key = ""
        self.settings = {
            "DJANGO_SECRET_KEY": secrets.token_hex(32),
            "POSTGRES_PASSWORD": secrets.token_hex(16),
            "VALKEY_PASSWORD": secrets.token_hex(16),
            "POSTGRES_IMAGE": DATABASES,
            "VALKEY_IMAGE": DATABASES,
            "CLIPPER_IMAGE": CLIPPER,
            "CLIPPER_PUBLISH": f"127.0.0.1:{port}",
        }

    def compose(self, *arguments: str) -> str:
        return self.podman.compose(*arguments, env=self.settings)

    def up(self, *arguments: str) -> str:
        """As compose.yaml says; returns when everything is healthy."""
        return self.compose("up", "--detach", "--wait", "--wait-timeout", "240", *arguments)

    def start(self) -> None:
        self.up()
        command = ("manage", "create_api_key", "tests", "--scopes", "predict,feedback,manage")
        printed = self.compose("exec", "-T", "console", "clipper", *command, "--run-code")
        self.key = next(word for word in printed.split() if word.startswith("clp_"))

    def client(self, **changes: Any) -> httpx.Client:
        headers = {"Authorization": f"Api-Key {self.key}"}
        usual = {"base_url": self.url, "headers": headers, "timeout": 30.0, "verify": TRUSTS_NOBODY}
        return httpx.Client(**{**usual, **changes})

    def managing(self) -> Client:
        return Client(self.url, self.key, timeout=60)

    def containers(self, service: str) -> list[str]:
        """The names of those that run, the oldest first."""
        shown = ("ps", "--format", "{{.Created}} {{.Names}}", "--sort", "created")
        label = f"label=com.docker.compose.service={service}"
        lines = self.podman(*shown, "--filter", label).splitlines()
        return [line.split()[-1] for line in reversed(lines)]

    def healthy(self, name: str) -> bool:
        return self.podman.inspect(name)["State"]["Health"]["Status"] == "healthy"

    def replicas(self) -> list[dict[str, Any]]:
        with self.client() as client:
            found: list[dict[str, Any]] = client.get("/api/v1/replicas/").json()
        return [replica for replica in found if replica["state"] == "ready"]

    @contextmanager
    def loaded(self, inputs: list[list[float]]) -> Iterator[Load]:
        """Ask all the time while the block runs; then there is neither an error nor a default."""
        with Load(self, application=DIGITS, inputs=inputs) as load:
            load.more()
            yield load
            load.more()
        assert load.errors == []
        assert load.defaults == []
