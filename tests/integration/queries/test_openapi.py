"""The schema is true: a client generated from it works, and every answer is as it says."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import skops.io
from jsonschema import Draft202012Validator
from sklearn.linear_model import LogisticRegression

from tests.integration.conftest import Digits
from tests.integration.stack import Stack, eventually

PACKAGE = "generated_clipper_client"


@pytest.fixture(scope="module")
def schema(stack: Stack) -> Any:
    with stack.client() as client:
        return client.get("/api/v1/schema/", params={"format": "json"}).json()


@pytest.fixture(scope="module")
def generated(schema: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("client")
    (folder / "schema.json").write_text(json.dumps(schema))
    program = [str(Path(sys.executable).with_name("openapi-python-client")), "generate"]
    program += ["--path", "schema.json", "--output-path", PACKAGE, "--meta", "none"]
    (folder / "config.yml").write_text("post_hooks: []\n")  # how it is formatted is no matter
    program += ["--config", "config.yml"]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert (done.returncode, "arning" in said) == (0, False), said
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def part(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}")


@pytest.mark.usefixtures("generated")
def test_a_generated_client_predicts_teaches_and_uploads(
    stack: Stack, patient: str, digits: Digits
) -> None:
    client = part("client").AuthenticatedClient(
        base_url=stack.url, token=stack.demo["api_key"], prefix="Api-Key"
    )
    with client:
        _predict_teach_and_upload(client, application=patient, digits=digits)


def _predict_teach_and_upload(client: Any, *, application: str, digits: Digits) -> None:
    models = part("models")
    asked = models.PredictRequest(input_=digits[0][0])
    answer = part("api.predictions.predict").sync(application, client=client, body=asked)
    assert isinstance(answer, models.PredictionAnswer)
    assert answer.output in range(10)

    told = models.FeedbackItem(query_id=answer.query_id, label=digits[1][0])
    taken = part("api.predictions.feedback").sync(application, client=client, body=told)
    assert (taken.accepted, taken.rejected) == (1, [])

    part("api.models.models_create").sync(
        client=client, body=models.NewModel(name="generated", input_type="doubles")
    )
    version = part("api.models.models_versions_create").sync(
        "generated",
        client=client,
        body=models.NewVersion(
            version="1",
            runtime="sklearn",
            artifact=part("types").File(
                payload=BytesIO(skops.io.dumps(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))),
                file_name="model.skops",
            ),
        ),
    )
    assert (version.model, version.version, version.live) == ("generated", "1", False)
    release = part("api.models.models_versions_deploy_create").sync(
        "generated", "1", client=client, body=models.Deploy(reason="from a generated client")
    )

    def ended() -> Any:
        read = part("api.models.models_releases_retrieve")
        found = read.sync("generated", release.id, client=client)
        return found if found.state in ("live", "failed") else None

    assert eventually(ended, seconds=60, what="its release has ended").state == "live"


CASES: list[tuple[str, str, Any]] = [
    ("predict", "/api/v1/applications/{application}/predict", {"input": [0.0] * 64}),
    (
        "predict",
        "/api/v1/applications/{application}/predict",
        {"input_batch": [[0.0] * 64, [0.0] * 3]},
    ),
    (
        "score",
        "/api/v1/applications/{application}/score",
        {"input_batch": [[0.0] * 64, [0.0] * 3]},
    ),
    ("predict", "/{application}/predict", {"input": [0.0] * 64, "explain": True}),
    ("predict", "/api/v1/applications/{application}/predict", {"colour": "blue"}),
    ("predict", "/api/v1/applications/nobody/predict", {"input": [0.0]}),
    ("update", "/{application}/update", {"uid": "schema", "input": [0.0] * 64, "label": 3}),
    (
        "feedback",
        "/api/v1/applications/{application}/feedback",
        {"feedback": [{"input": [0.0] * 64, "label": 3}, {"query_id": "forged", "label": 1}]},
    ),
    ("selection", "/api/v1/applications/{application}/selection/", None),
    ("live", "/health/live", None),
    ("ready", "/health/ready", None),
    ("serving", "/health/serving", None),
    ("list", "/api/v1/applications/", None),
    ("list", "/api/v1/models/", None),
    ("list", "/api/v1/models/{model}/versions/", None),
    ("list", "/api/v1/models/{model}/releases/", None),
    ("list", "/api/v1/replicas/", None),
    ("read", "/api/v1/models/{model}/versions/none", None),
]


@pytest.mark.parametrize(("operation", "path", "body"), CASES)
def test_an_answer_is_as_the_schema_says(
    operation: str, path: str, body: Any, *, stack: Stack, patient: str, schema: Any
) -> None:
    method = "get" if body is None else "post"
    path = path.format(application=patient, model=stack.demo["models"][0])
    with stack.client() as client:
        answer = client.request(method, path, json=body)
    responses = schema["paths"][_template(schema, path)][method]["responses"]
    described = responses[str(answer.status_code)]["content"]["application/json"]["schema"]
    Draft202012Validator({**described, "components": schema["components"]}).validate(answer.json())


def _template(schema: Any, path: str) -> str:
    """The schema's path that this one is of."""
    parts = path.split("/")
    return next(
        known
        for known in schema["paths"]
        if len(other := known.split("/")) == len(parts)
        and all(a == b or b.startswith("{") for a, b in zip(parts, other, strict=True))
    )


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("get", {"Authorization": "Api-Key clp_wrong"}, 401),
        ("patch", {"If-Match": "seven"}, 400),
    ],
)
def test_errors_are_among_those_listed(
    method: str, headers: dict[str, str], status: int, *, stack: Stack, schema: Any
) -> None:
    path = f"/api/v1/models/{stack.demo['models'][0]}"
    with stack.client() as client:
        answer = client.request(method, path, headers=headers, json=None if method == "get" else {})
    assert answer.status_code == status
    assert str(status) in schema["paths"][_template(schema, path)][method]["responses"]
