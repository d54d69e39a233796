"""Whatever lists what there is asks the table that has it: one more there is seen everywhere."""

from collections.abc import Callable
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from console.admin.forms.application_form import ApplicationForm
from console.admin.forms.upload_form import UploadForm
from console.pages.what_if_form import WhatIfForm
from core.errors import ClipperError
from registry.models.application import Combine
from registry.models.settable_columns import InputType
from registry.versions.extensions import check_combine, check_runtime
from selection.answers.combine import METHODS, combine
from selection.evaluation.what_if.targets import policy_target
from selection.policies import POLICIES, make_policy
from selection.policies.rules.route_weights import Static
from serving.container.failures.container_errors import ContainerError
from serving.container.inputs.numbers import NUMBER_TYPES
from serving.container.inputs.signature import INPUT_TYPES
from serving.container.runtimes import RUNTIMES, find_runtime
from serving.endpoints.predictions import predict_request
from serving.metrics.published import APPLICATION_COUNTERS
from serving.query.fallback import FallbackCause

NEW = "toaster"
# Whose policy it is isn't looked at before the policy is found.
NOBODY: Any = None


class Toaster(Static):
    name = NEW
    summary = "asks the toaster"


@pytest.fixture
def _one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, NEW, RUNTIMES["sklearn"])
    monkeypatch.setitem(METHODS, NEW, METHODS["vote"])
    monkeypatch.setitem(POLICIES, NEW, Toaster)


def said_in_schema(body: str, field: str) -> str:
    generator: Any = SchemaGenerator
    schema = generator().get_schema(request=None, public=True)
    return str(schema["components"]["schemas"][body]["properties"][field]["description"])


def offered(form: type[Any], field: str) -> str:
    return ", ".join(name for name, _ in form.base_fields[field].choices)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises((ClipperError, ContainerError)) as caught:
        call()
    return str(caught.value)


def combined(how: str) -> object:
    return combine({"a:1": b"1"}, weights={"a:1": 1.0}, asked=["a:1"], how=how)


PLACES: dict[str, Callable[[], str]] = {
    "runtime: schema": lambda: said_in_schema("NewVersion", "runtime"),
    "runtime: form of an upload": lambda: offered(UploadForm, "runtime"),
    "runtime: refusal of an upload": lambda: refusal(lambda: check_runtime("none")),
    "runtime: refusal of a replica": lambda: refusal(lambda: find_runtime("none")),
    "policy: schema of a new one": lambda: said_in_schema("NewApplication", "policy"),
    "policy: form of an application": lambda: offered(ApplicationForm, "policy"),
    "policy: form of what if": lambda: offered(WhatIfForm, "policy"),
    "policy: refusal": lambda: refusal(lambda: make_policy("none", {})),
    "policy: refusal of what if": lambda: refusal(lambda: policy_target(NOBODY, policy="none")),
    "combine: schema of a new one": lambda: said_in_schema("NewApplication", "combine"),
    "combine: form of an application": lambda: offered(ApplicationForm, "combine"),
    "combine: refusal of a query": lambda: refusal(lambda: combined("none")),
    "combine: refusal": lambda: refusal(lambda: check_combine("none")),
}


@pytest.mark.parametrize("place", PLACES)
def test_one_more_is_seen(place: str, request: pytest.FixtureRequest) -> None:
    assert NEW not in PLACES[place]()
    request.getfixturevalue("_one_more")
    assert NEW in PLACES[place]()


# Tables that stand apart since neither side may import the other.


def test_containers_and_the_registry_know_the_same_input_types() -> None:
    assert list(INPUT_TYPES) == InputType.values


def test_what_is_an_array_of_numbers_is_the_same_for_requests_and_replicas() -> None:
    assert NUMBER_TYPES.keys() == predict_request.NUMBERS


def test_every_way_to_combine_that_the_form_explains_is_there() -> None:
    assert Combine.values == list(METHODS)[: len(Combine.values)]


def test_every_cause_of_a_default_answer_is_counted() -> None:
    assert set(FallbackCause) <= APPLICATION_COUNTERS.keys()
