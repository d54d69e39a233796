"""Each page about an application has its URL and its tab from one row of a table."""

import ast
import re

import pytest
from django.http import HttpRequest, HttpResponse
from django.template import RequestContext, Template
from django.test import Client
from django.urls import reverse

from console.access import VIEW, application_for, frame
from console.application_pages import APPLICATION_PAGES, ApplicationPage
from registry.models import Application
from tests.architecture.source import LAYERS, modules, name, parsed

pytestmark = pytest.mark.django_db
EACH = pytest.mark.parametrize("page", APPLICATION_PAGES, ids=lambda page: page.path)


@EACH
def test_it_is_at_its_url_and_its_tab_is_the_current_one(
    admin_client: Client, digits: Application, page: ApplicationPage
) -> None:
    where = f"/admin/applications/digits/{page.path}/".replace("//", "/")
    text = admin_client.get(where).content.decode()
    assert f'href="{page.url("digits")}" aria-current="page">{page.title}</a>' in text
    for other in APPLICATION_PAGES:
        assert f'href="{other.url("digits")}"' in text


@EACH
def test_it_is_for_people_who_signed_in(
    client: Client, digits: Application, page: ApplicationPage
) -> None:
    answer = client.get(page.url("digits"))
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/login/")


def test_where_its_form_was_leads_to_the_hub(admin_client: Client, digits: Application) -> None:
    answer = admin_client.get(f"/admin/registry/application/{digits.pk}/change/", follow=True)
    assert answer.request["PATH_INFO"].startswith("/admin/applications/digits/")
    assert f'href="{reverse("console-try", args=["digits"])}"' in answer.content.decode()
    added = admin_client.get("/admin/registry/application/add/")
    assert added.headers["Location"] == reverse("console-new-application")


def test_where_a_page_was_leads_to_where_it_is(admin_client: Client, digits: Application) -> None:
    answer = admin_client.get("/admin/applications/digits/monitoring/?period=6h")
    assert answer["Location"] == "../experiment/?period=6h"


def test_the_menu_has_seven_places_and_the_page_a_way_past_it(
    admin_client: Client, digits: Application
) -> None:
    text = admin_client.get("/admin/applications/digits/settings/").content.decode()
    menu = re.search(r'<nav [^>]*aria-label="Main".*?</nav>', text, re.DOTALL)
    assert menu is not None
    assert menu[0].count("<a ") == 7
    assert menu[0].count('aria-current="page"') == 1
    assert 'href="#content"' in text
    assert text.count("<main ") == 1


def toast(request: HttpRequest, name: str) -> HttpResponse:
    """A page as the recipe has it."""
    application = application_for(request, name, VIEW)
    context = frame(request, application, title=f"{application}: toast")
    template = Template('{% extends "console/hub.html" %}{% block tab %}Toast.{% endblock %}')
    return HttpResponse(template.render(RequestContext(request, context)))


def test_a_new_row_is_a_page_with_its_tab(
    admin_client: Client, client: Client, digits: Application
) -> None:
    """The recipe, performed."""
    new = ApplicationPage(path="toast", title="Toast", view=f"{__name__}.toast")
    APPLICATION_PAGES.append(new)
    try:
        shown = admin_client.get(new.url("digits")).content.decode()
        assert f'href="{new.url("digits")}" aria-current="page">Toast</a>' in shown
        beside = admin_client.get(APPLICATION_PAGES[0].url("digits")).content.decode()
        assert f'href="{new.url("digits")}"' in beside
        assert client.get(new.url("digits")).status_code == 302
    finally:
        APPLICATION_PAGES.remove(new)
    assert admin_client.get("/admin/applications/digits/toast/").status_code == 404


def test_no_code_spells_where_a_page_is() -> None:
    """`reverse` says it, so that a page can move."""
    spelled = [
        (name(file), node.value)
        for file in modules(*LAYERS, "console")
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Constant)
        and "stack" not in file.parts  # the launcher has no Django
        and re.match(r"/(admin|feedback)/($|[\w{])", str(node.value))
    ]
    assert spelled == []
