"""A real PostgreSQL for tests: in a folder of its own, on a Unix socket only."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest

USER = "clipper"
# PostgreSQL refuses to run as root; Debian's package makes this account for it.
ACCOUNT = "postgres"
START_S = "30"
# Nobody needs these data after the tests.
OPTIONS = "-c listen_addresses= -c fsync=off -c synchronous_commit=off"


def binaries() -> Path:
    """The folder with initdb and pg_ctl; a test fails where there is none."""
    on_path = shutil.which("pg_ctl")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    found = debian[-1] if debian else on_path
    if found is None:
        pytest.fail(
            "PostgreSQL isn't installed: on Debian, apt-get install postgresql (make test does)"
        )
    return Path(found).resolve().parent


@contextmanager
def postgresql_server(*, by: Sequence[str] = (), network: str = "") -> Iterator[str]:
    """A started server, gone afterwards with its folder; yields the URL of an empty database.

    With a `network` it also listens for the hosts there, where `by` begins the command.
    """
    # A socket's path is limited to 107 bytes: pytest's own folders may be too deep.
    with tempfile.TemporaryDirectory(prefix="postgresql-", dir="/tmp") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, ACCOUNT)
        _call("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", USER, "--no-sync")
        control = ("pg_ctl", "-D", f"{folder}/data", "-w", "-t", START_S)
        options = f"-k {folder} {OPTIONS}"
        if network:
            options += " -c listen_addresses=*"
            with Path(f"{folder}/data/pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {network} trust\n")
        _call(*control, "-l", f"{folder}/log", "-o", options, "start", by=by)
        try:
            _call("createdb", "-h", str(folder), "-U", USER, USER)
            yield f"postgres://{USER}@{quote(str(folder), safe='')}/{USER}"
        finally:
            _call(*control, "-m", "immediate", "stop")


@dataclass(frozen=True, slots=True, kw_only=True)
class MigratedServer:
    """A started server and a database of its with all tables, of which others are copies."""

    url: str
    template: str

    def new_database(self, name: str) -> str:
        """Its URL."""
        folder = unquote(urlsplit(self.url).netloc.partition("@")[2])
        _call("createdb", "-h", folder, "-U", USER, "-T", self.template, name)
        return f"{self.url.rpartition('/')[0]}/{name}"


def _call(program: str, *arguments: str, by: Sequence[str] = ()) -> None:
    as_account = ("runuser", "-u", ACCOUNT, "--") if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*by, *as_account, str(binaries() / program), *arguments],
        # Not a pipe: the server inherits it, and would hold it open for as long as it runs.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, f"{program} failed with exit code {done.returncode}"
