"""Guessing is slowed down; those who have proved themselves are let through."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from registry.security.throttle import BY_KEYS, Failures
from tests.registry.conftest import Api, make_key

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"
PASSWORD = "correct horse battery"


def attempt(name: str, *, password: str = "wrong", address: str = "192.0.2.1") -> int:
    form = {"username": name, "password": password}
    return Client(REMOTE_ADDR=address).post(LOGIN, form).status_code


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("owner", password=PASSWORD, is_staff=True)


def test_guesses_of_a_password_are_slowed_down(owner: User) -> None:
    assert [attempt("owner") for _ in range(5)] == [200] * 5
    refused = Client(REMOTE_ADDR="192.0.2.1").post(
        LOGIN, {"username": "OWNER", "password": PASSWORD}
    )
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert "try again in" in refused.content.decode()


def test_who_is_signed_in_guesses_no_faster_than_others(owner: User) -> None:
    colleague = Client(REMOTE_ADDR="192.0.2.1")
    colleague.force_login(User.objects.create_user("colleague", is_staff=True))
    guess = {"username": "owner", "password": "wrong"}
    assert [colleague.post(LOGIN, guess).status_code for _ in range(6)] == [200] * 5 + [429]


@pytest.mark.django_db(transaction=True)
def test_guesses_that_come_at_once_are_no_more_than_one_after_the_other() -> None:
    def guess(_: int) -> int:
        begun.wait(timeout=60)
        try:
            return attempt("owner")
        finally:
            connection.close()

    begun = Barrier(12)
    with ThreadPoolExecutor(max_workers=12) as threads:
        answers = Counter(threads.map(guess, range(12)))
    assert answers == {200: 5, 429: 7}


def test_an_address_that_tries_many_names_is_slowed_down(owner: User) -> None:
    for number in range(20):
        attempt(f"name-{number}")
    assert attempt("another") == 429
    assert attempt("another", address="192.0.2.2") == 200


def test_nobody_is_locked_out_where_they_signed_in_before(owner: User) -> None:
    assert attempt("owner", password=PASSWORD, address="198.51.100.7") == 302
    for number in range(60):
        attempt("owner", address=f"203.0.113.{number}")
    assert attempt("owner", password=PASSWORD, address="192.0.2.9") == 429
    assert attempt("owner", password=PASSWORD, address="198.51.100.7") == 302


def test_a_forwarded_address_is_not_believed(owner: User) -> None:
    for number in range(5):
        Client(REMOTE_ADDR="192.0.2.1").post(
            LOGIN,
            {"username": "owner", "password": "wrong"},
            headers={"X-Forwarded-For": f"10.0.0.{number}"},
        )
    assert attempt("owner") == 429


def test_keys_that_nobody_made_are_refused_unread_after_a_while(
    django_assert_num_queries: object, manager: Api
) -> None:
    assert manager("get", "models/").status_code == 200
    for number in range(30):
        assert Api(key=f"clp_{number}")("get", "models/").status_code == 401
    with django_assert_num_queries(0):  # type: ignore[operator]  # a fixture that is called
        refused = Api(key="clp_more")("get", "models/")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert int(refused["Retry-After"]) >= 1
    assert manager("get", "models/").status_code == 200


def test_a_new_key_works_elsewhere_meanwhile() -> None:
    for _ in range(30):
        BY_KEYS.add("192.0.2.1")
    api = Api(key=make_key(), client=Client(REMOTE_ADDR="192.0.2.2"))
    assert api("get", "models/").status_code == 200


def test_what_is_remembered_is_bounded() -> None:
    failures = Failures(most=1, window_s=60.0, remembered=10)
    for number in range(100):
        failures.add(number)
    assert sum(failures.wait_s(number) > 0 for number in range(100)) == 10
