"""The pods that the Helm chart renders, run by Podman beside a database and Redis of others.

Podman starts one pod of a Deployment and knows no Services: each pod has the Service's name on the
network. It doesn't probe by HTTP either, for which the image would need curl.
"""

import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sklearn.svm import LinearSVC

from clipper_client import Client
from clipper_site import ROOT
from clipper_site.stack.layout import free_port
from registry.demo.digits import held_out, training
from tests.containers.podman import CLIPPER, DATABASES, Podman
from tests.deploy.helm import install_helm
from tests.integration.stack import TRUSTS_NOBODY, eventually

NETWORK = "pods"
PASSWORD = "of-the-pods"
VALUES = {
    "existingSecret": "clipper",
    "image": {"repository": CLIPPER, "tag": "latest", "pullPolicy": "Never"},
    "predict": {"autoscaling": {"enabled": False}},
}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "clipper"},
    "stringData": {
        "DATABASE_URL": f"postgres://clipper:{PASSWORD}@pods-postgres/clipper",
        "REDIS_URL": "redis://pods-valkey:6379/0",
        "DJANGO_SECRET_KEY": "django" * 12,
        "CLIPPER_CLUSTER_SECRET": "cluster" * 9,
    },
}
KINDS = ("console", "control", "cpu-worker", "predict")


def rendered(folder: Path) -> list[dict[str, Any]]:
    values = folder / "values.yaml"
    values.write_text(yaml.safe_dump(VALUES))
    chart = str(ROOT / "deploy/helm/clipper")
    render = [str(install_helm(folder)), "template", "clipper", chart]
    manifests = subprocess.check_output([*render, "--values", str(values)])
    return [manifest for manifest in yaml.safe_load_all(manifests) if manifest]


@pytest.fixture(scope="module")
def port() -> int:
    """Where processes that answer are asked."""
    return free_port()


@pytest.fixture(scope="module")
def pods(podman: Podman, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    folder = tmp_path_factory.mktemp("chart")
    found = {
        (one["kind"], one["metadata"]["name"].removeprefix("clipper-")): one
        for one in rendered(folder)
    }

    def play(manifest: dict[str, Any], *, name: str, options: Sequence[str] = ()) -> None:
        file = folder / "manifest.yaml"
        file.write_text(yaml.safe_dump(manifest))
        network = f"--network={NETWORK}:alias=clipper-{name}"
        podman("kube", "play", network, *options, str(file))

    podman("network", "create", NETWORK)
    start = ("run", "--detach", "--network", NETWORK)
    account = [f"--env=POSTGRES_{name}=clipper" for name in ("USER", "DB")]
    account.append(f"--env=POSTGRES_PASSWORD={PASSWORD}")
    podman(*start, "--name=pods-postgres", *account, DATABASES, "postgres")
    podman(*start, "--name=pods-valkey", DATABASES, "valkey-server", "--protected-mode", "no")
    ready = ("exec", "pods-postgres", "pg_isready", "--host=pods-postgres")
    eventually(
        lambda: "accepting" in podman(*ready, check=False), seconds=120, what="a database", pause=1
    )
    play(SECRET, name="secret")
    play(found["PersistentVolumeClaim", "artifacts"], name="volume")
    play(found["Job", "migrate"], name="migrate")
    podman("wait", "clipper-migrate-pod-migrate")
    for kind in KINDS:
        published = [f"--publish=127.0.0.1:{port}:8000"] if kind == "predict" else []
        play(found["Deployment", kind], name=kind, options=published)
    try:
        yield podman
    finally:
        podman("pod", "rm", "--all", "--force", "--time", "2")
        podman("rm", "--force", "--time", "2", "pods-postgres", "pods-valkey")


def test_the_pods_of_the_chart_serve_a_model(pods: Podman, port: int) -> None:
    made = ("clipper", "manage", "create_api_key", "pods", "--scopes", "predict,manage")
    printed = pods("exec", "clipper-console-pod-console", *made)
    key = next(word for word in printed.split() if word.startswith("clp_"))
    url = f"http://localhost:{port}"
    images, labels = training()
    for kind in ("serving", "console"):
        health = f"{url}/health/{kind}"
        eventually(partial(serves, health), seconds=120, what=health, pause=0.5)
    with Client(url, key, timeout=60) as client:
        model = LinearSVC(max_iter=300).fit(images, labels)
        client.deploy(
            "svc", model, example=images[0].tolist(), app="digits", slo_ms=1000, default_output=-1
        )
        answers = client.predict_batch("digits", held_out()[0][:50].tolist())
    assert {answer.default for answer in answers} == {False}


@pytest.mark.parametrize("kind", KINDS)
def test_a_pod_has_no_rights_and_a_read_only_root(pods: Podman, kind: str) -> None:
    found = pods.inspect(f"clipper-{kind}-pod-{kind}")
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert not found["EffectiveCaps"]
    assert found["Config"]["User"] == "10001:0"
    assert found["HostConfig"]["Memory"] > 0
    beat = "test $(( $(date +%s) - $(stat -c %Y /tmp/clipper/beat-KIND) )) -lt 60"
    if kind in ("control", "cpu-worker"):
        pods("exec", found["Name"], "sh", "-c", beat.replace("KIND", kind))


def serves(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, verify=TRUSTS_NOBODY).status_code == 200
    except httpx.HTTPError:
        return False
