"""The version of the product is on every page of the console."""

import pytest
from django.test import Client
from django.urls import reverse

from core.version import VERSION


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["admin:index", "admin:registry_application_changelist"])
def test_the_footer_names_the_version(admin_client: Client, page: str) -> None:
    footer = admin_client.get(reverse(page)).content.decode().rpartition("<footer")[2]
    assert VERSION in footer
