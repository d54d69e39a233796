"""The Helm chart: its settings, probes and values are the product's, and what it renders is valid.

The long test installs Helm and the schemas of Kubernetes in an environment of its own.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from clipper_site import ROOT
from clipper_site.stack.process import NICE
from core.version import VERSION
from tests.deploy.helm import install_helm
from tests.docs.documents import page

CHART = ROOT / "deploy" / "helm" / "clipper"
TEMPLATES = {file.name: file.read_text() for file in (CHART / "templates").iterdir()}
EVERYTHING = {
    "existingSecret": "clipper",
    "cpuWorker": {"keda": {"enabled": True}},
    "gpuWorker": {"replicas": 1},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}]},
    "serviceMonitor": {"enabled": True},
}
SCHEMAS = "kubernetes-validate==1.37.0"


def given(**changes: object) -> dict[str, Any]:
    """Return the chart's values with the secret named, and `changes` of `kind__name`."""
    values = yaml.safe_load((CHART / "values.yaml").read_text()) | {"existingSecret": "clipper"}
    for path, value in changes.items():
        *folders, name = path.split("__")
        place = values
        for folder in folders:
            place = place[folder]
        place[name] = value
    return values


def check(values: dict[str, Any]) -> None:
    jsonschema.validate(values, json.loads((CHART / "values.schema.json").read_text()))


def test_the_usual_values_are_accepted() -> None:
    check(given())


@pytest.mark.parametrize(
    "changes",
    [
        {"existingSecret": ""},
        {"predict__replicas": 1},
        {"console__replicas": 2},  # one volume is one pod's
        {"cpuWorker__slots": "8"},
        {"cpuWorker__slot": 8},
        {"image__digest": "sha256:1"},
        {"httpRoute__enabled": True},  # of no gateway
        {"settings": {"CLIPPER_HTTPS": 1}},
    ],
)
def test_a_wrong_value_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(given(**changes))


def test_every_setting_of_the_chart_is_described() -> None:
    text = "".join(TEMPLATES.values()) + (CHART / "values.yaml").read_text()
    described = page("docs/reference/settings.md")
    names = set(re.findall(r"\bCLIPPER_[A-Z_]+|\b(?:DATABASE|REDIS)_URL", text))
    assert "CLIPPER_CONSOLE_ADDRESS" in names
    assert [name for name in sorted(names) if f"\n- `{name}`" not in described] == []


def test_every_kind_of_process_has_its_workload() -> None:
    found = re.findall(r"args: \[(\w+)", TEMPLATES["_pod.tpl"])
    assert set(found) == set(NICE)
    assert len(TEMPLATES) <= 12


def test_its_version_is_the_products() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == VERSION


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the commands `helm` and `kubernetes-validate`."""
    folder = tmp_path_factory.mktemp("chart")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "pip", "install", "-q", SCHEMAS], check=True)
    install_helm(folder / "bin")
    return folder / "bin"


@pytest.mark.long
@pytest.mark.parametrize("minor", range(32, 38))
def test_what_it_renders_is_valid(tools: Path, tmp_path: Path, minor: int) -> None:
    values, manifests = tmp_path / "values.yaml", tmp_path / "manifests.yaml"
    values.write_text(yaml.safe_dump(EVERYTHING))
    subprocess.run([tools / "helm", "lint", "--strict", CHART, "-f", values], check=True)
    render: list[str | Path] = [tools / "helm", "template", "clipper", CHART, "-f", values]
    manifests.write_bytes(subprocess.run(render, check=True, stdout=subprocess.PIPE).stdout)
    validate: list[str | Path] = [
        tools / "kubernetes-validate",
        "--strict",
        "-k",
        f"1.{minor}",
        manifests,
    ]
    subprocess.run(validate, check=True)
