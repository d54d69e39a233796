"""Each application has a schema of its own, in which its input has a shape and an example."""

import json
from typing import Any

import pytest

from registry import services
from registry.models import Model
from serving.endpoints.management.input_schemas import input_schema
from tests.registry.conftest import BY, AddVersion, Api

pytestmark = pytest.mark.django_db

PARTS = [
    {"name": "age", "dtype": "float64", "nullable": False},
    {"name": "city", "dtype": "string", "nullable": True, "categories": ["Rome"]},
    {"name": "rest"},
]


def test_an_applications_schema_has_its_input(manager: Api, add_version: AddVersion) -> None:
    model = services.create_model(name="churn", input_type="columns", by=BY)
    version = add_version("1", model=model)
    signature = {"input_type": "columns", "inputs": PARTS, "output": {"kind": "number"}}
    type(version).objects.filter(pk=version.pk).update(
        signature=json.dumps(signature), example='{"age": 31}'
    )
    Model.objects.filter(pk=model.pk).update(live_version=version)
    body = {"name": "churn", "input_type": "columns", "slo_ms": 50, "routes": [{"model": "churn"}]}
    assert manager("post", "applications/", body).status_code == 201
    answer = manager("get", "applications/churn/schema/")
    assert answer.status_code == 200, answer.content
    schema = answer.json()
    assert set(schema["paths"]) == {
        f"/api/v1/applications/churn/{operation}" for operation in ("predict", "score", "feedback")
    }
    assert schema["components"]["schemas"]["Input"] == {
        "type": "object",
        "properties": {
            "age": {"type": "number"},
            "city": {"type": ["string", "null"], "enum": ["Rome", None]},
            "rest": {},
        },
        "required": ["age"],
        "additionalProperties": False,
        "example": {"age": 31},
    }
    predict = schema["components"]["schemas"]["PredictRequest"]["properties"]
    assert predict["input"] == {"$ref": "#/components/schemas/Input"}
    assert _references(schema) <= {
        f"#/components/schemas/{n}" for n in schema["components"]["schemas"]
    }


def test_an_application_without_a_checked_arm_has_the_input_of_its_type(manager: Api) -> None:
    body = {"name": "fresh", "input_type": "strings", "slo_ms": 50}
    assert manager("post", "applications/", body).status_code == 201
    schemas = manager("get", "applications/fresh/schema/").json()["components"]["schemas"]
    assert (schemas["Input"], schemas["Output"]) == ({"type": "string"}, {})
    assert manager("get", "applications/none/schema/").status_code == 404


@pytest.mark.parametrize(
    ("input_type", "signature", "expected"),
    [
        ("doubles", {}, {"type": "array", "items": {"type": "number"}}),
        (
            "integers",
            {"inputs": [{"shape": [2], "dtype": "int64"}], "names": ["a", "b"]},
            {
                "type": "array",
                "items": {"type": "integer"},
                "minItems": 2,
                "maxItems": 2,
                "description": "In this order: a, b.",
            },
        ),
        (
            "tensor",
            {"inputs": [{"shape": [None, 2], "dtype": "uint8"}]},
            {
                "type": "array",
                "items": {
                    "type": "array",
                    "items": {"type": "integer"},
                    "minItems": 2,
                    "maxItems": 2,
                },
            },
        ),
        (
            "tensor",
            {"inputs": [{"name": "a", "shape": []}, {"name": "b"}]},
            {
                "type": "object",
                "properties": {"a": {"type": "number"}, "b": {"description": "Nested arrays."}},
                "additionalProperties": False,
                "required": ["a", "b"],
            },
        ),
    ],
)
def test_an_input_is_described(input_type: str, signature: Any, expected: Any) -> None:
    assert input_schema(input_type, signature) == expected


def _references(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(_references, schema))
    if not isinstance(schema, dict):
        return set()
    own = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
    return own.union(*map(_references, schema.values()))
