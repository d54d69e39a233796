"""Clipper's console and a provider, as processes that talk to each other."""

import itertools
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.redis_server import redis_server
from tests.site import manage
from tests.site.sign_in.provider_process import CLIENT, SECRET

START_S = 90.0
# Each browser has an address of its own, by which its attempts are counted.
ADDRESSES = itertools.cycle(range(2, 255))
ROLES = "admins=admin,ops=operator,team=deployer:digits,others=deployer:letters"


@dataclass(frozen=True, kw_only=True)
class Site:
    """Both processes, and the console's database."""

    console: str
    provider: str
    database: Path

    def say(self, *, of: str = "ada", lies: dict[str, Any] | None = None, **claims: Any) -> None:
        """Have the provider say this of somebody, in ID tokens and user info."""
        told = {"people": {of: claims}, "lies": lies or {}}
        httpx.post(f"{self.provider}/told/", json=told).raise_for_status()

    def asked(self) -> dict[str, str]:
        """The provider's last request for authorization."""
        return httpx.get(f"{self.provider}/told/").json()

    def rows(self, query: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(query, values).fetchall()

    def refusals(self) -> int:
        query = "SELECT COALESCE(SUM(COALESCE(repeats, 0) + 1), 0) FROM registry_auditentry"
        return self.rows(f"{query} WHERE kind = 'sign-in' AND action = 'refuse'")[0][0]


class Browser:
    """One person's browser, with cookies of both sites."""

    def __init__(self, site: Site, *, name: str = "ada") -> None:
        self.site = site
        # Cookies know no ports, names of them do.
        transport = httpx.HTTPTransport(local_address=f"127.0.0.{next(ADDRESSES)}")
        self.http = httpx.Client(base_url=site.console, timeout=30.0, transport=transport)
        self.http.get(f"{site.provider}/as/{name}/").raise_for_status()

    def begin(self, next_url: str = "") -> str:
        """Go to the provider, and return the address that it sends the browser back to."""
        begun = self.http.get("/admin/sign-in/", params={"next": next_url} if next_url else {})
        assert begun.status_code == 302, begun.text
        answered = self.http.get(begun.headers["Location"])
        assert answered.status_code == 302, answered.text
        return str(answered.headers["Location"])

    def sign_in(self, next_url: str = "") -> httpx.Response:
        return self.http.get(self.begin(next_url))

    def is_in(self) -> bool:
        return self.http.get("/admin/password_change/").status_code == 200


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def running(
    module: str, *arguments: str, url: str, env: dict[str, str], log: Path
) -> Iterator[None]:
    command = [sys.executable, "-m", f"tests.site.sign_in.{module}", *arguments]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=manage.ROOT, env=env, stdout=output, stderr=output)
        try:
            ends = time.monotonic() + START_S
            while True:
                try:
                    httpx.get(url, timeout=10.0)
                    break
                except httpx.TransportError:
                    alive = process.poll() is None and time.monotonic() < ends
                    assert alive, log.read_text()[-4000:]
                    time.sleep(0.05)
            yield
        finally:
            process.kill()
            process.wait(timeout=20)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("sign-in")
    ports = free_port(), free_port()
    console, provider = (f"http://127.0.0.1:{port}" for port in ports)
    (folder / "secret").write_text(f"{SECRET}\n")
    with ExitStack() as held:
        env = manage.environment(
            var=folder,
            REDIS_URL=held.enter_context(redis_server()).url,
            CLIPPER_OIDC_ISSUER=provider,
            CLIPPER_OIDC_NAME="Example",
            CLIPPER_OIDC_CLIENT_ID=CLIENT,
            CLIPPER_OIDC_CLIENT_SECRET_FILE=str(folder / "secret"),
            CLIPPER_OIDC_ROLES=ROLES,
        )
        callback = f"{console}/admin/sign-in/callback/"
        for module, *arguments, url in (
            ("provider_process", str(folder), str(ports[1]), callback, f"{provider}/told/"),
            ("console_process", str(ports[0]), f"{console}/admin/login/"),
        ):
            log = folder / f"{module}.log"
            started = running(module, *arguments, url=url, env=env, log=log)
            held.enter_context(started)
        yield Site(console=console, provider=provider, database=folder / "clipper.sqlite3")
