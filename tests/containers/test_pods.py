"""The pods that the Helm chart renders, run by Podman beside a database and Redis of others.

Podman starts one pod of a Deployment and knows no Services: each pod has the Service's name on the
network. It doesn't probe by HTTP either, for which the image would need curl.
"""

import subprocess
from collections.abc import Iterator
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
from tests.containers.balanced import Balanced, serves
from tests.containers.podman import CLIPPER, DATABASES, NEXT, Podman
from tests.deploy.helm import install_helm
from tests.integration.stack import TRUSTS_NOBODY, Load, eventually

NETWORK = "pods"
PASSWORD = "of-the-pods"
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
Manifests = dict[tuple[str, str], dict[str, Any]]


class Pods:
    """The pods of one release of the chart, named after the image's tag."""

    def __init__(self, podman: Podman, folder: Path) -> None:
        self.podman, self._folder = podman, folder
        self._helm = str(install_helm(folder))
        self.port, self.key = free_port(), ""

    def render(self, tag: str) -> Manifests:
        """Return the manifests by kind and name, without the release's name."""
        values = {
            "existingSecret": "clipper",
            "image": {"repository": CLIPPER, "tag": tag, "pullPolicy": "Never"},
            "predict": {"autoscaling": {"enabled": False}},
        }
        file = self._folder / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        chart = str(ROOT / "deploy/helm/clipper")
        command = [self._helm, "template", "clipper", chart, "--values", str(file)]
        found = [one for one in yaml.safe_load_all(subprocess.check_output(command)) if one]
        return {
            (one["kind"], one["metadata"]["name"].removeprefix("clipper-")): one for one in found
        }

    def play(self, manifest: dict[str, Any], *, name: str, options: tuple[str, ...] = ()) -> None:
        file = self._folder / "manifest.yaml"
        file.write_text(yaml.safe_dump(manifest))
        network = f"--network={NETWORK}:alias=clipper-{name}"
        self.podman("kube", "play", network, *options, str(file))

    def migrate(self, manifests: Manifests) -> None:
        self.play(manifests["Job", "migrate"], name="migrate")
        assert self.podman("wait", "clipper-migrate-pod-migrate").strip() == "0"
        self.podman("pod", "rm", "--force", "clipper-migrate-pod")

    def start(self, kind: str, manifests: Manifests, *, tag: str) -> None:
        """Return when the pod's probe finds it ready."""
        manifest = manifests["Deployment", kind]
        manifest["metadata"]["name"] = f"clipper-{kind}-{tag}"
        own_scratch(manifest["spec"]["template"]["spec"], pod=f"{kind}-{tag}")
        published = kind == "predict" and tag != "next"
        options = (f"--publish=127.0.0.1:{self.port}:8000",) if published else ()
        self.play(manifest, name=kind, options=options)
        container = manifest["spec"]["template"]["spec"]["containers"][0]
        ready = partial(self._is_ready, container, pod=f"clipper-{kind}-{tag}-pod")
        eventually(ready, seconds=240, what=f"a pod of {kind} is ready", pause=0.5)

    def _is_ready(self, container: dict[str, Any], *, pod: str) -> bool:
        probe = container["readinessProbe"]
        if "exec" in probe:
            *shell, beats = probe["exec"]["command"]
            ran = ("exec", f"{pod}-{container['name']}", *shell, f"{beats} && echo ready")
            return "ready" in self.podman(*ran, check=False)
        port, path = container["ports"][0]["containerPort"], probe["httpGet"]["path"]
        return serves(f"http://{self._address(pod)}:{port}{path}")

    def stop(self, kind: str, manifests: Manifests, *, tag: str) -> None:
        """End a pod as Kubernetes does: its network goes once its process has ended."""
        spec = manifests["Deployment", kind]["spec"]["template"]["spec"]
        pod, grace = f"clipper-{kind}-{tag}-pod", str(spec["terminationGracePeriodSeconds"])
        self.podman("stop", "--time", grace, f"{pod}-{kind}")
        self.podman("pod", "rm", "--force", pod)

    def client(self, **changes: Any) -> httpx.Client:
        headers = {"Authorization": f"Api-Key {self.key}"}
        usual = {"base_url": f"http://localhost:{self.port}", "headers": headers, "timeout": 30.0}
        return httpx.Client(**{**usual, "verify": TRUSTS_NOBODY, **changes})

    def answering(self) -> list[str]:
        """The addresses of the pods that answer queries."""
        pods = self.podman("pod", "ps", "--format", "{{.Name}}").split()
        return [
            host
            for pod in pods
            if pod.startswith("clipper-predict") and (host := self._address(pod))
        ]

    def _address(self, pod: str) -> str:
        shown = ("pod", "inspect", "--format", "{{.InfraContainerID}}", pod)
        return self.podman.address(self.podman(*shown, check=False).strip())


def own_scratch(spec: dict[str, Any], *, pod: str) -> None:
    """Give a pod its own empty folders: Podman shares those of one name among all pods."""
    names = {volume["name"] for volume in spec["volumes"] if "emptyDir" in volume}
    containers = (*spec["initContainers"], *spec["containers"])
    mounts = [mount for container in containers for mount in container["volumeMounts"]]
    for named in (*spec["volumes"], *mounts):
        if named["name"] in names:
            named["name"] = f"{pod}-{named['name']}"


@pytest.fixture(scope="module")
def pods(podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    found = Pods(podman, tmp_path_factory.mktemp("chart"))
    manifests = found.render("latest")
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
    found.play(SECRET, name="secret")
    found.play(manifests["PersistentVolumeClaim", "artifacts"], name="volume")
    found.migrate(manifests)
    for kind in KINDS:
        found.start(kind, manifests, tag="latest")
    made = ("clipper", "manage", "create_api_key", "pods", "--scopes", "predict,manage")
    printed = podman("exec", "clipper-console-latest-pod-console", *made)
    found.key = next(word for word in printed.split() if word.startswith("clp_"))
    try:
        yield found
    finally:
        podman("pod", "rm", "--all", "--force", "--time", "2")
        podman("rm", "--force", "--time", "2", "pods-postgres", "pods-valkey")


def test_the_pods_of_the_chart_serve_a_model(pods: Pods) -> None:
    images, labels = training()
    with Client(f"http://localhost:{pods.port}", pods.key, timeout=60) as client:
        model = LinearSVC(max_iter=300).fit(images, labels)
        client.deploy(
            "svc", model, example=images[0].tolist(), app="digits", slo_ms=1000, default_output=-1
        )
        answers = client.predict_batch("digits", held_out()[0][:50].tolist())
    assert {answer.default for answer in answers} == {False}


@pytest.mark.parametrize("kind", KINDS)
def test_a_pod_has_no_rights_and_a_read_only_root(pods: Pods, kind: str) -> None:
    found = pods.podman.inspect(f"clipper-{kind}-latest-pod-{kind}")
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert not found["EffectiveCaps"]
    assert found["Config"]["User"] == "10001:0"
    assert found["HostConfig"]["Memory"] > 0


def test_another_image_in_the_chart_s_values_upgrades_every_pod(
    pods: Pods, inputs: list[list[float]]
) -> None:
    """As the Deployments' strategies have it: the new pod first, but for one that has a volume."""
    with (
        Balanced(pods.answering, client=pods.client).watching() as balanced,
        Load(balanced, application="digits", inputs=inputs) as load,
    ):
        load.more()
        pods.podman.build_next()
        old, new = pods.render("latest"), pods.render("next")
        pods.migrate(new)
        for kind in KINDS:
            recreated = new["Deployment", kind]["spec"]["strategy"].get("type") == "Recreate"
            if recreated:
                pods.stop(kind, old, tag="latest")
            pods.start(kind, new, tag="next")
            if kind == "predict":
                balanced.wait_for(2)
            if not recreated:
                pods.stop(kind, old, tag="latest")
            load.more()
    assert load.errors == []
    assert load.defaults == []
    assert pods.podman.inspect("clipper-predict-next-pod-predict")["ImageName"] == NEXT
