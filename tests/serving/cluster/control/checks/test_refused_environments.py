"""A version's requirements that can't be met: its check reports them in the words of the table."""

import json
import pickle
import socket
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from registry import services
from registry.models import VersionCheck
from serving.cluster.control.checks.check_task import check_version
from serving.cluster.failures.error_log import ErrorLog
from serving.cluster.host_environments import own_environments
from serving.cluster.parent import Lifeline
from tests.clients.refusals.cases import Refusal
from tests.clients.refusals.of_environments import LARGEST, OF_ENVIRONMENTS
from tests.serving.environments.wheels import make_wheel, wheelhouse

BY = services.Actor.of_command("test")


class Index(SimpleHTTPRequestHandler):
    """An index of no packages."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test says what matters."""


@contextmanager
def index() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


def nobody_there() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/simple"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = wheelhouse(tmp_path / "wheels")
    make_wheel(folder, "toaster", requires=["bread==2.0"])
    for version in ("1.0", "2.0"):
        make_wheel(folder, "bread", version)
    make_wheel(folder, "windows_only", tag="cp39-cp39-win_amd64")
    make_wheel(folder, "huge", files={"huge_data.txt": "crumb\n" * LARGEST})
    return folder


@pytest.fixture(autouse=True)
def _own_folder(
    settings: Settings, tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CLIPPER_VAR = tmp_path
    settings.CLIPPER_ARTIFACTS = tmp_path / "artifacts"
    settings.CLIPPER_ENVIRONMENTS = tmp_path / "environments"
    settings.CLIPPER_ENVIRONMENT_BYTES = LARGEST
    settings.CLIPPER_PIP_WHEELHOUSE = str(packages)
    settings.UV_CACHE_DIR = str(tmp_path / "cache")
    settings.CLIPPER_MIN_FREE_BYTES = 0
    line = Lifeline()
    monkeypatch.setattr("serving.cluster.control.checks.check_task.lifeline", lambda: line)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("case", OF_ENVIRONMENTS, ids=lambda case: case.title)
def test_it_is_refused_with_what_the_table_says(
    case: Refusal, settings: Settings, tmp_path: Path, server_redis: Any
) -> None:
    with index() as there:
        settings.CLIPPER_PIP_INDEX_URL = nobody_there() if "down" in case.title else there
        with case.artifact(tmp_path).open("rb") as artifact:
            version = services.create_version(
                model=services.create_model(name="m", input_type="doubles", by=BY),
                version="1",
                runtime="python",
                artifact=artifact,
                requirements=case.sent["requirements"],
                by=BY,
            )
        check = VersionCheck.objects.get(version=version)
        check_version(check.pk)
    check.refresh_from_db()
    assert check.state == VersionCheck.State.FAILED
    assert case.says(check.error), check.error
    (kept,) = ErrorLog(server_redis).read(version.pk)
    assert (kept.error, kept.phase) == (check.error, "check")
    assert check.output  # the log of the build


def skops_of(tmp_path: Path) -> Path:
    """A file as skops writes one of a Pipeline of imbalanced-learn."""
    steps = {"__class__": "LogisticRegression", "__module__": "sklearn.linear_model._logistic"}
    pipeline = {"__class__": "Pipeline", "__module__": "imblearn.pipeline", "content": [steps]}
    with zipfile.ZipFile(tmp_path / "model.skops", "w") as packed:
        packed.writestr("schema.json", json.dumps(pipeline))
    return tmp_path / "model.skops"


def pickle_of(tmp_path: Path) -> Path:
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps({}))
    return path


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("made", "says"),
    [(skops_of, "aren't trusted: imblearn.pipeline.Pipeline; "), (pickle_of, "a joblib or pickle")],
)
def test_what_takes_the_permission_to_run_code_says_so_before_anything_is_built(
    made: Callable[[Path], Path], says: str, settings: Settings, tmp_path: Path, server_redis: Any
) -> None:
    settings.CLIPPER_PIP_NO_INDEX = True
    with made(tmp_path).open("rb") as artifact:
        version = services.create_version(
            model=services.create_model(name="m", input_type="doubles", by=BY),
            version="1",
            runtime="sklearn",
            artifact=artifact,
            requirements="toaster",
            by=BY,
        )
    check = VersionCheck.objects.get(version=version)
    check_version(check.pk)
    check.refresh_from_db()
    assert check.state == VersionCheck.State.FAILED
    assert says in check.error
    assert "--field allow_pickle=true" in check.error
    assert list(own_environments().kept()) == []
    (kept,) = ErrorLog(server_redis).read(version.pk)
    assert kept.error == check.error
