"""Each page about an application has its URL, its tab and its button from one row of a table."""

from __future__ import annotations

import ast
import re

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import resolve, reverse

from console.admin.applications import ApplicationAdmin
from console.application_pages import APPLICATION_PAGES, ApplicationPage
from registry.models import Application
from tests.architecture.source import LAYERS, modules, name, parsed

pytestmark = pytest.mark.django_db
EACH = pytest.mark.parametrize("page", APPLICATION_PAGES, ids=lambda page: page.path)


@EACH
def test_it_is_at_its_url_and_its_tab_is_the_current_one(
    admin_client: Client, digits: Application, page: ApplicationPage
) -> None:
    text = admin_client.get(f"/admin/applications/digits/{page.path}/").content.decode()
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


@EACH
def test_its_button_leads_there(
    admin_client: Client, digits: Application, page: ApplicationPage
) -> None:
    button = reverse(f"admin:registry_application_{page.action}", args=[digits.pk])
    shown = admin_client.get(f"/admin/registry/application/{digits.pk}/change/").content.decode()
    assert button in shown
    assert admin_client.get(button).headers["Location"] == page.url("digits")


def test_rows_of_the_list_have_the_buttons_that_belong_there() -> None:
    made = ApplicationAdmin(Application, admin.site)
    assert made.actions_row == ("monitoring", "feedback_form")


def test_the_form_where_people_try_it_is_where_its_url_is(
    admin_client: Client, digits: Application
) -> None:
    button = reverse("admin:registry_application_feedback_form", args=[digits.pk])
    assert admin_client.get(button).headers["Location"] == reverse("feedback-form", args=["digits"])
    assert resolve("/feedback/digits/").url_name == "feedback-form"


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
