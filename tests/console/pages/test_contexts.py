"""The console's page of contexts, where no browser is needed: pages, refusals, Redis away."""

import time
from collections.abc import Iterator

import pytest
import redis
from django.test import Client
from pytest_django.fixtures import Settings

from registry.models import Application
from selection.store.redis_keys import contexts_key, state_key
from tests.console.people import staff
from tests.redis_server import fresh_redis_client

pytestmark = pytest.mark.usefixtures("digits")

PAGE = "/admin/applications/digits/contexts/"


@pytest.fixture
def no_redis(settings: Settings) -> Iterator[None]:
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    with fresh_redis_client():
        yield


def test_contexts_come_in_pages(
    owner: Client, server_redis: redis.Redis, digits: Application
) -> None:
    now = time.time()
    names = {f"user-{number:03}": now - number for number in range(120)}
    server_redis.zadd(contexts_key(digits.pk), names)
    first, last = owner.get(PAGE).content.decode(), owner.get(f"{PAGE}?page=3").content.decode()
    assert "120 of at most 100,000" in first
    assert "user-049" in first
    assert "user-050" not in first
    assert "?page=2" in first
    assert "user-119" in last
    assert "?page=4" not in last
    assert "?page=2" in last


def test_what_cannot_be_a_context_is_told(owner: Client, server_redis: redis.Redis) -> None:
    html = owner.get(PAGE, {"context": "x" * 257}).content.decode()
    assert "expected at most 256 characters" in html


def test_without_redis_it_says_so(owner: Client, no_redis: None) -> None:
    answer = owner.get(PAGE)
    assert answer.status_code == 200
    assert "Redis does not answer" in answer.content.decode()
    for method in (owner.get, owner.post):
        answer = method(f"{PAGE}reset/?all=1", follow=True)
        assert answer.redirect_chain[-1][0] == PAGE
        assert "Redis does not answer" in answer.content.decode()


def test_strangers_are_asked_to_sign_in_and_unknown_names_are_not_found(
    client: Client, owner: Client, server_redis: redis.Redis
) -> None:
    assert owner.get("/admin/applications/missing/contexts/").status_code == 404
    client.logout()
    answer = client.get(PAGE)
    assert (answer.status_code, answer["Location"]) == (302, f"/admin/login/?next={PAGE}")


def test_who_may_not_change_applications_resets_nothing(
    server_redis: redis.Redis, digits: Application
) -> None:
    client = staff()
    server_redis.hset(state_key(digits.pk, ""), "t", "1")
    assert client.get(PAGE).status_code == 403
    assert client.post(f"{PAGE}reset/?all=1").status_code == 403
    assert server_redis.exists(state_key(digits.pk, ""))
