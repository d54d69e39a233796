"""Cost of the console's pages: as many queries for many rows as for few."""

import pytest
from django.apps import apps
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from core.errors import NotFound
from registry import services
from registry.models import Application, AuditEntry, Model, ModelVersion
from registry.services import RouteRequest
from tests.registry.conftest import BY, AddVersion, go_live, make_key

pytestmark = pytest.mark.django_db


def queries_of(page: str, *, client: Client) -> int:
    cache.clear()  # what pages keep for seconds
    with CaptureQueriesContext(connection) as asked:
        assert client.get(page).status_code == 200
    return len(asked)


def test_many_rows_cost_as_many_queries_as_few(
    admin_client: Client, svm: Model, add_version: AddVersion, digits: Application
) -> None:
    for version in ("2", "3"):
        go_live(add_version(version))
    make_key(applications=[digits])
    cache.set("alerts:firing", {}, 600)  # what is kept for some seconds
    lists = ["/admin/registry/model/", "/admin/registry/application/", "/admin/people/"]
    releases = ["/admin/applications/digits/releases/"]
    one = f"/admin/registry/model/{svm.pk}/"
    pages = [*lists, *releases, f"{one}change/", f"{one}rollback/"]
    for page in pages:
        admin_client.get(page)  # what is read once a process
    before = {page: queries_of(page, client=admin_client) for page in pages}

    for name in ("forest", "knn", "tree"):
        model = services.create_model(name=name, input_type="doubles", by=services.SYSTEM)
        for version in ("1", "2"):
            go_live(add_version(version, model=model))
        services.create_application(
            name=f"{name}s",
            input_type="doubles",
            slo_ms=50,
            routes=[RouteRequest(model=name)],
            by=services.SYSTEM,
        )
        make_key(applications=[digits])
        go_live(add_version(f"of-{name}"))
    assert {page: queries_of(page, client=admin_client) for page in pages} == before


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
    hidden = len(entry.changes) - 5
    assert hidden > 1

    listed = client.get("/admin/timeline/?application=digits").content.decode()
    page = client.get(f"/admin/timeline/{entry.pk}/").content.decode()

    assert "<span>name</span> <ins>digits</ins>" in listed
    assert f"and {hidden} more" in listed
    assert "<span>public</span> <ins>false</ins>" not in listed
    assert "<span>public</span> <ins>false</ins>" in page
    assert "Created application" in page
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


@pytest.mark.usefixtures("server_redis")
def test_a_model_that_has_no_replica_looks_so(admin_client: Client, v1: ModelVersion) -> None:
    go_live(v1)
    shown = admin_client.get("/admin/registry/model/").content.decode()
    assert '<span class="clp-badge" data-state="failed">No replica is ready' in shown
    for name, place in (("modelversion", "registry/model/"), ("release", "timeline/?kind=release")):
        answer = admin_client.get(f"/admin/registry/{name}/")
        assert answer.headers["Location"] == f"/admin/{place}"
