"""One row's model as its user has it: trained, deployed, asked, deployed again, rolled back."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

import httpx
import msgspec

from tests.frameworks.environments import ROOT, WHEELHOUSE
from tests.frameworks.rows import Row
from tests.integration.stack import Stack

CLIENT = ROOT / "clients" / "python" / "src"
# An environment for the version may have to be built first.
WITHIN_S = 900.0
# What follows the user's lines; the names in braces are the row's.
AFTERWARDS = """
from clipper_client import ClipperError as _Error

client = Client()
_first = {expected}
try:
    _refused = str(client.predict("{name}", {bad}).output)
except _Error as _error:
    _refused = f"{{_error.status}} {{_error}}"
_release = {again}
_second = client.predict("{name}", {asked})
_beside = client.predict("{name}", {asked}, version="1")
_back = client.rollback("{name}", reason="worse")
_last = client.predict("{name}", {asked})
print("\\n" + _json.dumps(dict(
    answer=answer.output, expected=_first,
    refused=_refused, second=_second.output, scores={scores}, beside=_beside.output,
    previous=_release.previous_version, back=(_back.version, _back.state, _back.reason),
    last=_last.output,
), default=lambda value: value.tolist()))
"""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Observations of a user, for one row.

    `second` is the answer of the second version, which takes the place of `previous`, `beside` that
    of the first meanwhile, `last` that after the rollback, whose version, state and reason are
    `back`.
    """

    answer: Any
    expected: Any
    refused: str
    second: Any
    scores: Any
    beside: Any
    previous: str
    back: tuple[str, str, str]
    last: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Address and key of Clipper for the user's client."""

    url: str
    key: str


def script(row: Row) -> str:
    """Return what is run: the row's source with a clock around the lines that are counted."""
    afterwards = AFTERWARDS.format(
        name=row.name,
        expected=row.expected,
        bad=row.bad,
        again=row.again,
        asked=row.asked,
        scores=row.scores,
    )
    return f"{row.training}\nimport json as _json\n{row.deploying}\n{afterwards}"


def used(row: Row, *, python: Path, server: Server) -> Seen:
    """Do what the row's user does with this Python. Raises AssertionError with what it said."""
    with tempfile.TemporaryDirectory(prefix="clipper-user-") as folder:
        file = Path(folder) / "script.py"
        file.write_text(script(row), encoding="utf-8")
        done = subprocess.run(
            [python, file],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": f"{CLIENT}{os.pathsep}{ROOT}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "CLIPPER_URL": server.url,
                "CLIPPER_KEY": server.key,
            },
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
    assert done.returncode == 0, f"{row.name}: {done.stdout[-2000:]}{done.stderr[-6000:]}"
    return msgspec.convert(json.loads(done.stdout.splitlines()[-1]), Seen)


def check(row: Row, seen: Seen) -> None:
    """Assert that everything was as the row has it."""
    assert near(seen.answer, seen.expected), seen
    assert seen.refused == row.refused
    assert near(seen.second, seen.scores), seen
    assert not near(seen.second, seen.answer), "the second version answers like the first"
    assert near(seen.beside, seen.answer), seen
    assert (seen.previous, seen.back) == ("1", ("1", "live", "worse"))
    assert near(seen.last, seen.answer), seen


def near(left: Any, right: Any) -> bool:
    """Return whether two JSON values are equal, but for the rounding of numbers."""
    if isinstance(left, float) or isinstance(right, float):
        return isinstance(left, float | int) and isclose(left, right, rel_tol=1e-3, abs_tol=1e-5)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(near(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(near, left, right))
    return bool(left == right)


@contextmanager
def served_by(var: Path, *, python: Path | None = None) -> Iterator[Server]:
    """A stack, without the demo, that may ask a remote model on this machine."""
    more = {
        "CLIPPER_REMOTE_HOSTS": "127.0.0.1",
        "CLIPPER_PIP_WHEELHOUSE": WHEELHOUSE,
        "CLIPPER_CPU_SLOTS": "40",
    }
    stack = Stack(var=var, demo=False, settings=more, python=python)
    try:
        stack.start()
        yield server_of(stack)
    finally:
        stack.end()


def server_of(stack: Stack) -> Server:
    key = stack.new_key("frameworks", "--run-code", scopes="predict,feedback,manage")
    return Server(url=stack.url, key=key)


def environments_of(row: Row, server: Server) -> list[str]:
    """Return the digest of the environment of each version that has one."""
    return [
        each["digest"]
        for each in _asked(server, "GET", "environments/").json()
        for version in each["versions"]
        if version.startswith(f"{row.name}:")
    ]


def removed(row: Row, server: Server) -> None:
    """Give the row's places among the replicas to the next."""
    _asked(server, "DELETE", f"applications/{row.name}")
    _asked(server, "DELETE", f"models/{row.name}")


def _asked(server: Server, method: str, path: str) -> httpx.Response:
    headers = {"Authorization": f"Api-Key {server.key}"}
    url = f"{server.url}/api/v1/{path}"
    answer = httpx.request(method, url, headers=headers, timeout=30.0)
    assert answer.is_success, answer.text
    return answer
