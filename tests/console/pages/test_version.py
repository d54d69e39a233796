"""The version of the product is on every page of the console."""

import pytest
from django.test import Client
from django.urls import reverse

from core.version import VERSION


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["admin:index", "admin:registry_application_changelist"])
def test_the_head_of_the_menu_names_the_version(admin_client: Client, page: str) -> None:
    assert f"prediction serving {VERSION}" in admin_client.get(reverse(page)).content.decode()
