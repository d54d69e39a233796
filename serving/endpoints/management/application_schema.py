"""The OpenAPI schema of one application: its own path, its input's shape and an example."""

from typing import Any, ClassVar

import msgspec
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import KEY_SCHEME
from registry.api.permissions import Permissions
from registry.api.serializers import ErrorBody
from registry.api.views.management_view import ManagementView, find_application, schema
from registry.models import Application, ModelVersion
from serving.endpoints.management.input_schemas import input_schema, output_schema
from serving.endpoints.management.prediction_schema import API, add_predictions

# What a client of an application asks.
OPERATIONS = ("predict", "score", "feedback")


class ApplicationSchemaView(ManagementView):
    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {"GET": ("registry.view_application",)}

    @schema("Read an application's own OpenAPI schema", answer=OpenApiTypes.OBJECT)
    def get(self, request: Request, application: str) -> Response:
        return Response(schema_of(find_application(request, name=application)))


def schema_of(application: Application) -> dict[str, Any]:
    """Its paths, with the input that its first arm takes which has been checked."""
    version = first_known(application)
    signature = msgspec.json.decode(version.signature) if version and version.signature else {}
    example = msgspec.json.decode(version.example) if version and version.example else None
    whole: dict[str, Any] = {"paths": {}, "components": {"schemas": {}}}
    add_predictions(whole)
    schemas = whole["components"]["schemas"]
    schemas["Input"] = input_schema(application.input_type, signature)
    schemas["Output"] = output_schema(signature)
    if example is not None:
        schemas["Input"] = schemas["Input"] | {"example": example}
    _refer(schemas)
    paths = _paths(whole["paths"], name=application.name)
    if application.input_type == "bytes":
        for operation in ("predict", "score"):
            _take_bytes(paths[f"{API}/{operation}".replace("{application}", application.name)])
    schemas["ErrorBody"] = _error_body()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": application.name,
            "version": str(application.revision),
            "description": application.description,
        },
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _security()},
    }


def first_known(application: Application) -> ModelVersion | None:
    """Return the first version routed whose signature is known."""
    routes = application.routes.with_versions()
    served = [route.served for route in routes if route.served is not None]
    return next((version for version in served if version.signature), None)


def _refer(schemas: dict[str, Any]) -> None:
    """Have what asks and answers say which input it takes, and which output it has."""
    input, output = ({"$ref": f"#/components/schemas/{name}"} for name in ("Input", "Output"))
    asking = schemas["PredictRequest"]["properties"]
    asking["input"] = input
    asking["input_batch"] = {"type": "array", "items": input}
    # A default output may be anything.
    schemas["PredictionAnswer"]["properties"]["output"] = {"anyOf": [output, {}]}


def _paths(paths: dict[str, Any], *, name: str) -> dict[str, Any]:
    return {
        path.replace("{application}", name): _without_application(paths[path])
        for path in (f"{API}/{operation}" for operation in OPERATIONS)
    }


def _take_bytes(path: dict[str, Any]) -> None:
    """Say that the input may be the body itself."""
    content = path["post"]["requestBody"]["content"]
    content |= {kind: {} for kind in ("application/octet-stream", "image/*", "multipart/form-data")}


def _without_application(operations: dict[str, Any]) -> dict[str, Any]:
    return {
        method: operation
        | {"parameters": [p for p in operation["parameters"] if p["name"] != "application"]}
        for method, operation in operations.items()
    }


def _error_body() -> dict[str, Any]:
    properties = {
        name: {
            "type": "object" if name == "details" else "string",
            "description": str(field.help_text or ""),
        }
        for name, field in ErrorBody().fields.items()
    }
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _security() -> dict[str, Any]:
    description = f"{KEY_SCHEME} and the key, as in: {KEY_SCHEME} clp_…"
    return {
        "apiKey": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": description,
        }
    }
