"""Late answers to guesses, the later the more; a sign-in or a valid key is answered at once."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient

from registry.security.throttle import BY_KEYS, LATE_S, MISTYPED, SCOPE_KEY, SOON_S, Lateness
from tests.registry.conftest import make_key

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class Asking(AsyncClient):
    """Asks from an address, as over ASGI, and knows how late the answer was to be."""

    def __init__(self, *, address: str) -> None:
        super().__init__()
        self.lateness = Lateness()
        self._more = {SCOPE_KEY: self.lateness, "client": [address, 0]}

    async def request(self, **request: Any) -> Any:
        return await super().request(**request, **self._more)

    def seen(self, method: str, path: str, **given: Any) -> tuple[int, float]:
        response = async_to_sync(getattr(self, method))(path, **given)
        return response.status_code, self.lateness.seconds


def attempt(name: str, *, password: str = "wrong", address: str = HERE) -> tuple[int, float]:
    form = {"username": name, "password": password}
    return Asking(address=address).seen("post", "/admin/login/", data=form)


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("owner", password=PASSWORD, is_staff=True)


def test_who_mistyped_waits_a_moment_and_who_goes_on_longer(owner: User) -> None:
    assert [attempt("owner") for _ in range(MISTYPED)] == [(200, SOON_S)] * MISTYPED
    assert attempt("owner") == (200, LATE_S)
    assert attempt("somebody else") == (200, LATE_S)
    assert attempt("somebody else", address=ELSEWHERE) == (200, SOON_S)
    assert attempt("owner", password=PASSWORD) == (302, 0.0)


def test_a_name_that_many_addresses_try_is_answered_late(owner: User) -> None:
    seen = [attempt("owner", address=f"203.0.113.{number}") for number in range(MISTYPED + 1)]
    assert seen == [(200, SOON_S)] * MISTYPED + [(200, LATE_S)]


def test_who_is_refused_waits_and_who_signed_in_there_does_not(owner: User) -> None:
    assert attempt("owner", password=PASSWORD) == (302, 0.0)
    for number in range(20):
        attempt(f"name-{number}")
    assert attempt("another") == (429, LATE_S)
    assert attempt("owner") == (200, SOON_S)
    assert attempt("owner", password=PASSWORD) == (302, 0.0)


def test_keys_that_are_refused_unread_are_answered_late() -> None:
    def asked_with(key: str) -> tuple[int, float]:
        headers = {"Authorization": f"Api-Key {key}"}
        return Asking(address=HERE).seen("get", "/api/v1/models/", headers=headers)

    known = make_key()
    assert asked_with(known) == (200, 0.0)
    assert asked_with("clp_guessed") == (401, 0.0)
    for _ in range(30):
        BY_KEYS.add(HERE)
    assert asked_with("clp_guessed") == (429, LATE_S)
    assert asked_with(known) == (200, 0.0)
