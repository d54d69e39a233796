"""What the console's pages cost: as many queries for many rows as for few."""

from collections.abc import Callable

import pytest
from django.apps import apps
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from core.errors import NotFound
from registry import services
from registry.models import Application, AuditEntry, Model, ModelVersion
from registry.services import RouteRequest
from tests.registry.conftest import BY, AddVersion, go_live, make_key

pytestmark = pytest.mark.django_db

CostsNoMore = Callable[..., None]


@pytest.fixture
def costs_no_more(client: Client, django_assert_num_queries: DjangoAssertNumQueries) -> CostsNoMore:
    """Assert that a page needs no more queries after `more` than before."""
    client.force_login(User.objects.create_superuser("owner"))

    def check(url: str, *, more: Callable[[], object]) -> None:
        client.get(url)  # what is read once a process
        with CaptureQueriesContext(connection) as before:
            assert client.get(url).status_code == 200
        more()
        with django_assert_num_queries(len(before)):
            assert client.get(url).status_code == 200

    return check


def test_the_list_of_models_reads_all_their_releases_at_once(
    costs_no_more: CostsNoMore, add_version: AddVersion, v1: ModelVersion
) -> None:
    go_live(v1)

    def more() -> None:
        for name in ("forest", "knn", "tree"):
            model = services.create_model(name=name, input_type="doubles", by=services.SYSTEM)
            go_live(add_version("1", model=model))
            go_live(add_version("2", model=model))

    costs_no_more("/admin/registry/model/", more=more)


def test_the_list_of_applications_reads_all_their_routes_at_once(
    costs_no_more: CostsNoMore, digits: Application
) -> None:
    def more() -> None:
        for name in ("letters", "words"):
            services.create_application(
                name=name,
                input_type="doubles",
                slo_ms=50,
                routes=[RouteRequest(model="svm")],
                by=services.SYSTEM,
            )

    costs_no_more("/admin/registry/application/", more=more)


def test_the_list_of_keys_reads_all_their_applications_at_once(
    costs_no_more: CostsNoMore, digits: Application
) -> None:
    make_key(applications=[digits])

    def more() -> None:
        for _ in range(3):
            make_key(applications=[digits])

    costs_no_more("/admin/registry/apikey/", more=more)


def test_the_page_that_rolls_back_reads_all_earlier_versions_at_once(
    costs_no_more: CostsNoMore, svm: Model, add_version: AddVersion
) -> None:
    go_live(add_version("1"))
    go_live(add_version("2"))

    def more() -> None:
        for version in ("3", "4", "5"):
            go_live(add_version(version))

    costs_no_more(f"/admin/registry/model/{svm.pk}/rollback/", more=more)


def test_no_column_of_a_list_is_hidden_by_a_field_of_its_name() -> None:
    """Django shows the field where a list's method has the same name."""
    registered = {m: site.get_model_admin(m) for m in apps.get_models() if site.is_registered(m)}
    hidden = [
        f"{model.__name__}.{column}"
        for model, page in registered.items()
        for column in page.list_display
        if isinstance(column, str)
        and callable(getattr(page, column, None))
        and column in {field.name for field in model._meta.get_fields()}
    ]
    assert len(registered) > 5
    assert hidden == []


def test_the_audit_trail_shows_a_new_row_in_a_few_lines_and_all_of_it_on_its_own_page(
    client: Client, digits: Application
) -> None:
    client.force_login(User.objects.create_superuser("owner"))
    entry = AuditEntry.objects.get(kind="application", name="digits", action="create")
    hidden = len(entry.changes) - 4
    assert hidden > 1

    listed = client.get("/admin/registry/auditentry/?kind=application").content.decode()
    page = client.get(f"/admin/registry/auditentry/{entry.pk}/change/").content.decode()

    assert "<div>name: digits</div>" in listed
    assert f"<div>and {hidden} more</div>" in listed
    assert "<div>public: false</div>" not in listed
    assert "<div>public: false</div>" in page
    assert "create application digits" in page
    assert "&#x27;digits&#x27;" not in page


def test_a_list_to_delete_says_that_some_of_it_was_just_deleted(
    v1: ModelVersion, rf: RequestFactory
) -> None:
    request = rf.get("/")
    request.user = User.objects.create_superuser("owner")
    seen = ModelVersion.objects.get()  # which looks its model up where it is named
    services.delete_model(model=Model.objects.get(), by=BY)
    with pytest.raises(NotFound, match="just deleted by somebody else"):
        site.get_model_admin(ModelVersion).get_deleted_objects([seen], request)
