"""Performs the recipe for a REST endpoint: a view and a row make it answer, guarded and listed."""

import sys
from types import ModuleType
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import include, path
from drf_spectacular.generators import SchemaGenerator
from pytest_django.fixtures import Settings
from rest_framework.request import Request
from rest_framework.response import Response

from clipper_site import urls
from registry.api.fields import Body, Text
from registry.api.permissions import Permissions
from registry.api.views.management_view import ManagementView, both, schema
from tests.registry.conftest import Api, make_key

pytestmark = pytest.mark.django_db


class Toy(Body):
    name = Text(help_text="What it is called.")


class ToyView(ManagementView):
    permissions: ClassVar[Permissions] = {"POST": ("registry.add_model",)}

    @schema("Wind up a toy", body=Toy, answer=Toy)
    def post(self, request: Request) -> Response:
        return Response({"name": self.body(Toy)["name"]})


@pytest.fixture(autouse=True)
def _row(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    module = ModuleType("tests.toy_urls")
    rows = both("toys/", view=ToyView, name="api-toys")
    module.urlpatterns = [path("api/v1/", include(rows)), *urls.urlpatterns]  # type: ignore[attr-defined]
    for name in ("handler400", "handler403", "handler404", "handler500"):
        setattr(module, name, getattr(urls, name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings.ROOT_URLCONF = module.__name__


def test_it_answers_with_and_without_the_last_slash(manager: Api) -> None:
    for address in ("toys/", "toys"):
        answer = manager("post", address, {"name": "bear"})
        assert (answer.status_code, answer.json()) == (200, {"name": "bear"})


def test_it_refuses_in_the_one_shape(manager: Api) -> None:
    for body, code in (({"nam": "bear"}, "unknown_field"), ({}, "malformed"), ([], "malformed")):
        answer = manager("post", "toys/", body)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert manager("get", "toys/").status_code == 405


def test_it_is_guarded() -> None:
    assert Api()("post", "toys/", {"name": "bear"}).status_code == 401
    reader = Api(key=make_key(scopes=("predict",)))
    assert reader("post", "toys/", {"name": "bear"}).status_code == 403
    client = Client()
    client.force_login(User.objects.create_user("ann", is_staff=True))
    assert Api(client=client)("post", "toys/", {"name": "bear"}).status_code == 403


def test_the_schema_has_it() -> None:
    generator: Any = SchemaGenerator
    paths = generator(urlconf=sys.modules["tests.toy_urls"]).get_schema(public=True)["paths"]
    operation = paths["/api/v1/toys/"]["post"]
    assert operation["summary"] == "Wind up a toy"
    assert {"200", "400", "401", "403"} <= operation["responses"].keys()
