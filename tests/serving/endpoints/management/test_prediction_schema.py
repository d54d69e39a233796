"""The schema of predictions says all that their structures hold."""

from typing import Any

import msgspec
import pytest
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator

from core.errors import ClipperError
from selection.feedback.events import FeedbackItem, FeedbackResult, UpdateRequest
from serving.endpoints.predictions.predict_request import PredictRequest
from serving.endpoints.predictions.score import ScoreRequest


@pytest.fixture(scope="module")
def schema() -> Any:
    generator: Any = SchemaGenerator
    return generator().get_schema(request=None, public=True)


BODIES = (PredictRequest, ScoreRequest, FeedbackItem, FeedbackResult, UpdateRequest)


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_has_the_fields_of_its_structure(kind: type[msgspec.Struct], schema: Any) -> None:
    described = schema["components"]["schemas"][kind.__name__]
    assert list(described["properties"]) == list(kind.__struct_encode_fields__)


def test_every_operation_says_its_errors_by_their_codes(schema: Any) -> None:
    known = {kind.code: str(kind.status) for kind in _below(ClipperError)}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            errors = {s: r for s, r in operation["responses"].items() if s[0] in "45"}
            assert errors or path in ("/health/live",), (method, path)
            for status, response in errors.items():
                codes = response["description"].rstrip(".").partition(": ")[2].split(", ")
                assert {known[code] for code in codes} == {status}, (method, path, status)


@pytest.mark.parametrize("kind", ["ApplicationOut", "NewApplication", "PatchedApplicationPatch"])
@pytest.mark.parametrize("value", [None, 7, {"any": "JSON"}])
def test_a_default_output_may_be_any_json(kind: str, value: Any, schema: Any) -> None:
    described = schema["components"]["schemas"][kind]["properties"]["default_output"]
    Draft202012Validator(described).validate(value)


def _below(kind: type[ClipperError]) -> list[type[ClipperError]]:
    return [kind, *(found for sub in kind.__subclasses__() for found in _below(sub))]
