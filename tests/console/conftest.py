"""The registry's cast plays in the console's tests as well, and somebody who may do all."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.registry.conftest import (
    _own_folder,
    add_version,
    bound_manager,
    digits,
    manager,
    svm,
    v1,
    v2,
)

__all__ = ["_own_folder", "add_version", "bound_manager", "digits", "manager", "svm", "v1", "v2"]


@pytest.fixture
def owner(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("owner"))
    return client
