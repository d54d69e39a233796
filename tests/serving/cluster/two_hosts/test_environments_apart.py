"""Two hosts without a shared disk build the environment of one version, each from where it can."""

import subprocess
import sys
from pathlib import Path

import pytest

from registry import services
from registry.models import ModelVersion
from serving.cluster.failures.failure_counts import failure_texts
from serving.cluster.host_environments import read_hosts
from tests.serving.cluster.running_stack import BY, Stack
from tests.serving.cluster.two_hosts import apart
from tests.serving.cluster.two_hosts.apart import AWAY, HERE, kill, on
from tests.serving.cluster.two_hosts.network_namespaces import (
    WEB_ADDRESS,
    Link,
    inside,
)
from tests.serving.cluster.wait_until import wait_for
from tests.serving.environments.wheels import make_wheel, repack

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

SETTINGS = apart.SETTINGS
WORKERS = ()
INDEX_PORT = "8001"
INDEX = f"http://{WEB_ADDRESS}:{INDEX_PORT}/simple"
MODEL = b"""
import toaster

class Predictor:
    def __init__(self, path): pass
    def pred_batch(self, inputs): return [toaster.__version__] * len(inputs)
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is an index where it is served; all of its wheels lie beside it, too."""
    root = tmp_path_factory.mktemp("index")
    wheels = [repack(root / "wheels", name) for name in ("msgspec", "numpy", "pysimdjson")]
    wheels.append(make_wheel(root / "wheels", "toaster", "2.5"))
    for wheel in wheels:
        project = root / "simple" / wheel.name.partition("-")[0]
        project.mkdir(parents=True)
        (project / wheel.name).hardlink_to(wheel)
    return root


@pytest.fixture(scope="module", autouse=True)
def _processes(stack: Stack, link: Link, index: Path) -> None:
    apart.start_away(
        stack,
        link,
        settings={"CLIPPER_PIP_INDEX_URL": INDEX, "UV_CACHE_DIR": str(index / "cache-away")},
    )
    here = {
        "CLIPPER_PIP_WHEELHOUSE": str(index / "wheels"),
        "CLIPPER_PIP_NO_INDEX": "1",
        "UV_CACHE_DIR": str(index / "cache-here"),
    }
    for worker in ("cpu", "control"):
        stack.start_worker(worker, settings=here)
    apart.start_web(stack)


def test_the_second_host_builds_it_once_it_reaches_its_index_and_outlives_the_first(
    stack: Stack, link: Link, index: Path
) -> None:
    version = stack.add_artifact(
        "toasts", runtime="python", content=MODEL, requirements="toaster==2.5"
    )
    stack.deploy_and_wait(version)
    services.configure_version(version=version, replicas=4, by=BY)
    _says_why_the_other_has_none(stack, version)
    assert on(HERE, stack, version)

    serving = [sys.executable, "-m", "http.server", INDEX_PORT, "--bind", WEB_ADDRESS]
    server = subprocess.Popen([*inside(link.web), *serving, "-d", str(index)])
    try:
        wait_for(lambda: on(AWAY, stack, version), within_s=180, what="a replica there")
    finally:
        server.kill()
        server.wait(20)

    wait_for(lambda: not failure_texts(stack.client, [version.pk]), what="it is forgotten")
    built = {
        host.host: [each.error for each in host.environments] for host in read_hosts(stack.client)
    }
    assert built == {HERE: [""], AWAY: [""]}
    kill(stack, "cpu")
    wait_for(lambda: not on(HERE, stack, version), within_s=60, what="the first is gone")
    assert on(AWAY, stack, version)


def _says_why_the_other_has_none(stack: Stack, version: ModelVersion) -> None:
    def reason() -> str:
        text = failure_texts(stack.client, [version.pk]).get(version.pk, "")
        return text if f" on {AWAY}, next try in " in text else ""

    said = wait_for(reason, within_s=120, what="why there is none on the other host")
    assert ": its environment could not be built: Request failed after 3 retries" in said
    assert "Connection refused" in said

    def told() -> bool:
        version.refresh_from_db()
        return version.load_error.startswith("its environment could not be built: Request failed")

    wait_for(told, what="the version says so, too")
