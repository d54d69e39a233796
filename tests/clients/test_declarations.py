"""`clipper apply`: what is there becomes what a file declares, and then nothing differs."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from clipper_client import Client, ClipperError
from clipper_client.declarations.document import document_of, read
from clipper_client.declarations.plan import Change, plan
from clipper_client.declarations.state import State
from tests.clients.sources import predictor
from tests.clients.terminal import Terminal
from tests.integration.stack import Stack

ROW = json.dumps([0.0] * 30)


class Folder:
    """A folder with a declaration and its artifacts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.declared: dict[str, Any] = {
            "models": [
                {
                    "name": "declared",
                    "input_type": "doubles",
                    "versions": [
                        {
                            "version": 1,
                            "runtime": "python",
                            "artifact": "1.py",
                            "example": [0] * 30,
                            "signature": {"inputs": [{"shape": [30]}]},
                        }
                    ],
                    "live": 1,
                }
            ],
            "applications": [
                {
                    "name": "declared",
                    "input_type": "doubles",
                    "slo_ms": 1000,
                    "default_output": 0,
                    "policy": "exp3",
                    "routes": [{"model": "declared"}],
                }
            ],
            "keys": [{"name": "declared", "scopes": ["predict"], "applications": ["declared"]}],
        }

    @property
    def file(self) -> Path:
        file = self.path / "clipper.yaml"
        file.write_text(yaml.safe_dump(self.declared))
        return file


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    for name, answer in (("1.py", 1), ("2.py", 7)):
        (tmp_path / name).write_text(predictor(answer=f"return [{answer}] * len(inputs)"))
    return Folder(tmp_path)


@pytest.mark.usefixtures("known")
def test_it_is_made_said_again_changed_and_exported(
    terminal: Terminal, folder: Folder, client: Client, tmp_path: Path
) -> None:
    assert "+ create model declared" in terminal.types("diff", "-f", folder.file, code=2)
    assert "+ create" in terminal.types("apply", "-f", folder.file, "--dry-run")
    assert "declared" not in [model["name"] for model in client.status().models]

    made = terminal.json("apply", "-f", folder.file)
    steps = [(change["action"], change["kind"]) for change in made["changes"]]
    assert steps == [
        ("create", "model"),
        ("create", "version"),
        ("deploy", "model"),
        ("create", "application"),
        ("create", "key"),
    ]
    with Client(client.address.url, made["changes"][-1]["key"]) as shop:
        assert not shop.predict("declared", [0.0] * 30).default

    assert terminal.types("apply", "-f", folder.file) == "Nothing differs.\n"
    assert terminal.types("diff", "-f", folder.file) == "Nothing differs.\n"

    model, application = folder.declared["models"][0], folder.declared["applications"][0]
    model["versions"].append({"version": "2", "runtime": "python", "artifact": "2.py"})
    model["live"] = "2"
    application |= {"slo_ms": 900, "routes": [{"model": "declared", "weight": 2}]}
    printed = terminal.types("diff", "-f", folder.file, code=2)
    assert "slo_ms: 1000 -> 900" in printed
    assert "live: 1 -> 2" in printed
    terminal.types("apply", "-f", folder.file)
    assert terminal.complaint.startswith("clipper: warning: declared:2: Its check asked it no")
    assert terminal.types("predict", "declared", ROW) == "7\n"
    assert terminal.types("diff", "-f", folder.file) == "Nothing differs.\n"

    # Somebody changes it by hand.
    client.request("PATCH", "applications/declared/slo", {"latency_ms": 500})
    assert "slo_ms: 500 -> 900" in terminal.types("diff", "-f", folder.file, code=2)

    file = tmp_path / "exported.yaml"
    terminal.types("export", "-o", file)
    assert terminal.types("diff", "-f", file) == "Nothing differs.\n"
    assert terminal.types("diff", "-f", file, "--prune") == "Nothing differs.\n"


@pytest.mark.usefixtures("known")
def test_another_artifact_under_the_same_name_changes_nothing(
    terminal: Terminal, folder: Folder, client: Client
) -> None:
    folder.declared = {"models": [folder.declared["models"][0] | {"name": "fixed"}]}
    terminal.types("apply", "-f", folder.file)
    folder.declared["models"][0]["versions"][0]["artifact"] = "2.py"
    folder.declared["models"][0]["description"] = "other"
    terminal.types("apply", "-f", folder.file, code=1)
    assert "digest of this version can't change" in terminal.complaint
    assert "! conflict version fixed:1" in terminal.types("diff", "-f", folder.file, code=1)
    assert terminal.json("apply", "--dry-run", "-f", folder.file, code=1)["code"] == "conflict"
    assert client.request("GET", "models/fixed")["description"] == ""


@pytest.mark.usefixtures("known")
def test_a_remote_version_has_its_secret_from_the_environment(
    terminal: Terminal, folder: Folder, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = {
        "version": 1,
        "runtime": "remote",
        "url": "http://127.0.0.1:9/",
        "protocol": "mlflow",
        "example": [1.0],
    }
    declared = version | {"secret_from": "FAR_SECRET"}
    folder.declared = {
        "models": [{"name": "afar", "input_type": "doubles", "versions": [declared]}]
    }
    terminal.types("apply", "-f", folder.file, code=1)
    assert "FAR_SECRET" in terminal.complaint
    assert "afar" not in [model["name"] for model in client.status().models]
    monkeypatch.setenv("FAR_SECRET", "hush")
    assert "hush" not in terminal.types("apply", "-f", folder.file)
    assert client.request("GET", "models/afar/versions/1")["has_secret"]
    assert terminal.types("apply", "-f", folder.file) == "Nothing differs.\n"
    file = folder.path / "exported.yaml"
    terminal.types("export", "-o", file)
    assert "hush" not in file.read_text()
    assert terminal.types("diff", "-f", file) == "Nothing differs.\n"

    models = yaml.safe_load(file.read_text())["models"]
    folder.declared = {"models": [m | {"name": "farther"} for m in models if m["name"] == "afar"]}
    terminal.types("apply", "-f", folder.file, code=1)
    assert "AFAR_1_SECRET" in terminal.complaint
    monkeypatch.setenv("AFAR_1_SECRET", "hush")
    terminal.types("apply", "-f", folder.file)
    assert client.request("GET", "models/farther/versions/1")["has_secret"]


def test_a_wrong_value_shows_in_the_diff_also_to_a_key_that_only_reads(
    terminal: Terminal,
    folder: Folder,
    client: Client,
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLIPPER_URL", stack.url)
    monkeypatch.setenv("CLIPPER_KEY", stack.new_key("watcher", scopes="read"))
    model = folder.declared["models"][0] | {"name": "judged"}
    application = folder.declared["applications"][0] | {"name": "judged"}
    application["routes"] = [{"model": "judged"}]
    right = {"models": [model], "applications": [application]}
    folder.declared = right
    assert "+ create application judged" in terminal.types("diff", "-f", folder.file, code=2)

    wrong = model["versions"][0] | {"replicas": "many"}
    folder.declared = {
        "models": [model | {"versions": [wrong]}],
        "applications": [application | {"policy": "exp5"}],
    }
    printed = terminal.types("diff", "-f", folder.file, code=1)
    assert "! conflict version judged:1: replicas: " in printed
    assert (
        "! conflict application judged: no policy 'exp5' (did you mean 'exp4'?): expected one of "
        in printed
    )
    terminal.types("apply", "-f", folder.file, code=1)
    assert "Nothing was changed: version judged:1: replicas: " in terminal.complaint
    folder.declared = right
    terminal.types("apply", "-f", folder.file, code=1)
    assert "Expected a key with the scope manage, got one with read." in terminal.complaint
    names = [each["name"] for each in json.loads(terminal.types("status", "--json"))["models"]]
    assert "judged" not in names


@pytest.mark.parametrize(
    "text",
    [
        "models: [",
        "[]",
        "model: []",
        "models: {}",
        "applications: [{name: a, routes: {model: b}}]",
        "applications: [{name: a, routes: [{modle: b}]}]",
        "models: [{input_type: doubles}]",
        "models: [{name: a}, {name: a}]",
        "models: [{name: a, colour: red}]",
        "models: [{name: a, versions: [{version: 1}]}]",
        "models: [{name: a, versions: [{version: 1, digest: x}], live: 2}]",
        "models: [{name: a, versions: [{version: 1, runtime: remote, digest: x}]}]",
        "keys: [{name: a, scope: []}]",
    ],
)
def test_a_file_that_is_wrong_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "clipper.yaml"
    file.write_text(text)
    with pytest.raises(ClipperError) as caught:
        read(file)
    assert caught.value.code == "invalid_declaration"


@pytest.mark.parametrize(
    ("text", "where", "got"),
    [
        ("applications: [{name: a, max_wrong_share: .nan}]", "a.max_wrong_share", "nan"),
        ("applications: [{name: a, policy_params: {eta: -.inf}}]", "a.policy_params.eta", "-inf"),
        ("applications: [{name: a, routes: [{model: b, weight: .inf}]}]", "routes.0.weight", "inf"),
    ],
)
def test_a_number_that_json_lacks_is_refused(
    text: str, where: str, got: str, tmp_path: Path
) -> None:
    """It would be sent as null, which removes a promise."""
    file = tmp_path / "clipper.yaml"
    file.write_text(text)
    with pytest.raises(
        ClipperError, match=f"{where}: expected a finite number, got {got}"
    ) as caught:
        read(file)
    assert caught.value.code == "invalid_declaration"


# --- Plans -------------------------------------------------------------------------------------

MODEL = {"name": "m", "input_type": "doubles", "description": "", "live_version": "1"}
VERSION = {"version": "1", "digest": "d", "runtime": "sklearn", "replicas": 1}
APPLICATION = {
    "name": "a",
    "input_type": "doubles",
    "default_output": None,
    "has_default_output": False,
    "slo": {"latency_ms": 50.0, "target": 0.99, "window": "28d"},
    "routes": [{"model": "m", "version": None, "live_version": "1", "role": "arm", "weight": 1.0}],
    "policy": "exp3",
    "policy_params": {"eta": 0.5},
}
KEY = {"id": 1, "name": "k", "prefix": "clp_abc", "scopes": ["predict"], "applications": None}
KEY |= {"expires_at": "2027-01-01T00:00:00Z"}
FAR = {"url": "http://far/v2/models/m", "protocol": "open-inference", "timeout_ms": 5000}
REMOTE = {"version": "1", "digest": "r", "runtime": "remote", "replicas": 1, "remote": FAR}
REMOTE_ELSEWHERE = {"version": 1, "runtime": "remote", "url": "http://elsewhere/"}
THERE = State(
    models={name: MODEL | {"name": name} for name in ("m", "far", "old")},
    versions={"m": {"1": VERSION, "0": VERSION | {"version": "0"}}, "far": {"1": REMOTE}},
    applications={"a": APPLICATION},
    keys={"k": KEY},
)


def planned(declared: dict[str, Any], *, prune: bool = False, own_key: str = "") -> list[Change]:
    document = document_of(declared, path=Path("clipper.yaml"))
    return plan(document, state=THERE, prune=prune, own_key=own_key)


@pytest.mark.parametrize(
    "declared",
    [
        {},
        {"models": [{"name": "m", "live": 1, "versions": [{"version": 1, "digest": "d"}]}]},
        {"models": [{"name": "far", "versions": [{"version": 1, "runtime": "remote", **FAR}]}]},
        {"applications": [{"name": "a", "slo_ms": 50, "routes": [{"model": "m"}]}]},
        {"applications": [{"name": "a", "policy": "exp3", "policy_params": {"eta": 0.5}}]},
        {"keys": [{"name": "k", "scopes": ["predict"], "expires_at": "2027-01-01T01:00:00+01:00"}]},
    ],
)
def test_what_is_so_already_needs_nothing(declared: dict[str, Any]) -> None:
    assert planned(declared) == []


@pytest.mark.parametrize(
    ("declared", "steps"),
    [
        ({"models": [{"name": "m", "description": "x"}]}, ["change model m"]),
        ({"models": [{"name": "m", "input_type": "json"}]}, ["conflict model m"]),
        ({"models": [{"name": "m", "live": "0"}]}, ["deploy model m"]),
        ({"applications": [{"name": "a", "policy": "exp3"}]}, ["change application a"]),
        (
            {"models": [{"name": "m", "versions": [{"version": "9", "digest": "x"}]}]},
            ["conflict version m:9"],
        ),
        (
            {"models": [{"name": "m", "versions": [{"version": 1, "digest": "d", "replicas": 2}]}]},
            ["change version m:1"],
        ),
        (
            {"models": [{"name": "far", "versions": [REMOTE_ELSEWHERE]}]},
            ["conflict version far:1"],
        ),
        ({"applications": [{"name": "a", "default_output": None}]}, ["change application a"]),
        ({"applications": [{"name": "a", "routes": []}]}, ["change application a"]),
        ({"keys": [{"name": "k", "scopes": ["manage"]}]}, ["conflict key k"]),
        ({"keys": [{"name": "k", "expires_at": "2028-01-01T00:00:00Z"}]}, ["change key k"]),
    ],
)
def test_what_differs_is_a_step_or_a_conflict(declared: Any, steps: list[str]) -> None:
    assert [f"{c.action} {c.kind} {c.name}" for c in planned(declared)] == steps


@pytest.mark.usefixtures("known")
def test_what_can_not_be_pruned_is_told_before_anything_is_done(
    terminal: Terminal, folder: Folder, client: Client, stack: Stack
) -> None:
    first = folder.declared["models"][0]
    first |= {"name": "pruned", "versions": [*first["versions"], {"version": 2}]}
    first["versions"][1] |= {"runtime": "python", "artifact": "2.py"}
    folder.declared["applications"][0] |= {"name": "pruned", "routes": [{"model": "pruned"}]}
    folder.declared["keys"] = []
    terminal.types("apply", "-f", folder.file)
    stack.new_key("other manager", scopes="manage")

    # Applications and keys of others aren't this file's, and one asks the model.
    folder.declared = {"models": [first | {"description": "kept", "name": "other"}]}
    for command in (("diff",), ("apply", "--dry-run"), ("apply",)):
        printed = terminal.types(*command, "-f", folder.file, "--prune", code=1)
        assert "pruned is routed by pruned" in printed + terminal.complaint
    folder.declared = {"keys": []}
    for command in (("diff",), ("apply", "--dry-run"), ("apply",)):
        printed = terminal.types(*command, "-f", folder.file, "--prune", code=1)
        assert "revoked by people" in printed + terminal.complaint
    assert "other" not in [model["name"] for model in client.status().models]

    # A version that is live no longer once the other one is goes.
    others = [{"name": model["name"]} for model in client.status().models]
    others.remove({"name": "pruned"})
    replaced = first | {"live": 2, "versions": first["versions"][1:]}
    folder.declared = {"models": [replaced, *others]}
    assert "delete version pruned:1" in terminal.types("diff", "-f", folder.file, "--prune", code=2)
    terminal.types("apply", "-f", folder.file, "--prune")
    assert client.request("GET", "models/pruned")["versions"] == ["2"]


def test_a_version_goes_after_what_may_pin_it() -> None:
    declared = {
        "models": [{"name": name, "versions": []} for name in THERE.models],
        "applications": [{"name": "b", "slo_ms": 50, "input_type": "doubles"}],
    }
    steps = [f"{c.action} {c.kind} {c.name}" for c in planned(declared, prune=True)]
    assert steps == ["create application b", "delete application a", "delete version m:0"]


def test_only_named_sections_are_pruned_and_never_ones_own_key() -> None:
    listed = {
        "models": [
            {"name": "m", "versions": [{"version": 1, "digest": "d"}]},
            {"name": "far"},
        ]
    }
    assert planned(listed) == []
    steps = [f"{c.action} {c.kind} {c.name}" for c in planned(listed, prune=True)]
    assert steps == ["delete version m:0", "delete model old"]
    assert [c.action for c in planned({"keys": []}, prune=True)] == ["revoke"]
    assert planned({"keys": []}, prune=True, own_key="clp_abcdef") == []
