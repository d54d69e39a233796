"""Contexts over the API: which have learned, and having them forget."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis
from pytest_django.fixtures import Settings
from redis.asyncio import Redis

from registry.following.reading import application_with_arms
from registry.models import Application, ModelVersion
from selection.feedback.persistence.drain import persist_feedback
from selection.feedback.persistence.journal import FeedbackJournal
from selection.models import StateReset
from selection.policies import make_policy
from selection.store.learned_contexts import describe_context
from selection.store.redis_keys import contexts_key, state_key
from selection.store.selection_store import SelectionStore
from tests.registry.conftest import Api, go_live
from tests.selection.updates import feedback_update

SELECTION, CONTEXTS = "applications/digits/selection", "applications/digits/contexts"
Teach = Callable[..., None]
NOW_MS = 1_800_000_000_000
ARMS = {"svm:1": 1.0}


@pytest.fixture
def teach(server_redis: redis.Redis, redis_socket: str, digits: Application) -> Teach:
    """Teaches one context after the other, a second apart."""
    policy = make_policy("exp4", {})

    async def append(contexts: tuple[str, ...], loss: float) -> None:
        async with Redis(unix_socket_path=redis_socket) as client:
            for number, context in enumerate(contexts):
                one = feedback_update(
                    policy,
                    {"svm:1": loss},
                    context=context,
                    application_id=digits.pk,
                    at_ms=NOW_MS + 1000 * number,
                )
                await FeedbackJournal(client).append([one])

    return lambda *contexts, loss=1.0: asyncio.run(append(contexts, loss))


def observed(stream: redis.Redis, digits: Application) -> set[str]:
    start = state_key(digits.pk, "")
    keys: list[bytes] = stream.keys(f"{start}*")  # type: ignore[assignment]  # it decodes nothing
    return {key.decode().removeprefix(start) for key in keys}


# --- listing ----------------------------------------------------------------------------------


def test_contexts_that_learned_are_listed_last_used_first(manager: Api, teach: Teach) -> None:
    teach("", "ann", "bob", "ann")
    response = manager("get", CONTEXTS)
    assert response.status_code == 200
    assert response["X-Total-Count"] == "2"
    assert response.json() == [
        {"context": "ann", "feedback": 2, "last_used_at": "2027-01-15T08:00:03Z"}
        | {"updated_at": "2027-01-15T08:00:03Z"},
        {"context": "bob", "feedback": 1, "last_used_at": "2027-01-15T08:00:02Z"}
        | {"updated_at": "2027-01-15T08:00:02Z"},
    ]
    assert manager("get", f"{CONTEXTS}/").json() == response.json()


def test_the_list_comes_in_pages(manager: Api, teach: Teach) -> None:
    teach(*(f"user-{number}" for number in range(5)))
    response = manager("get", f"{CONTEXTS}?limit=2&offset=1")
    assert [row["context"] for row in response.json()] == ["user-3", "user-2"]
    assert response["X-Total-Count"] == "5"
    assert manager("get", f"{CONTEXTS}?limit=0").status_code == 400


# --- forgetting -------------------------------------------------------------------------------


def test_one_context_is_reset_and_the_others_stay(
    manager: Api, teach: Teach, server_redis: redis.Redis, digits: Application
) -> None:
    teach("", "ann", "bob")
    response = manager("delete", f"{SELECTION}?context=ann")
    assert (response.status_code, response.content) == (204, b"")
    assert observed(server_redis, digits) == {"", "bob"}
    assert [row["context"] for row in manager("get", CONTEXTS).json()] == ["bob"]


def test_an_empty_context_is_the_global_one(
    manager: Api, teach: Teach, server_redis: redis.Redis, digits: Application
) -> None:
    teach("", "ann")
    assert manager("delete", f"{SELECTION}?context=").status_code == 204
    assert observed(server_redis, digits) == {"ann"}


def test_all_of_them_are_reset_at_once(
    manager: Api, teach: Teach, server_redis: redis.Redis, digits: Application
) -> None:
    teach("", *(f"user-{number}" for number in range(300)))
    other = state_key(digits.pk + 1, "ann")
    server_redis.hset(other, "t", "1")
    assert manager("delete", f"{SELECTION}?all=true").status_code == 204
    assert observed(server_redis, digits) == set()
    assert not server_redis.exists(contexts_key(digits.pk))
    assert server_redis.exists(other)


def test_a_reset_is_kept_with_who_asked_for_it(
    manager: Api,
    editor: Api,
    teach: Teach,
    server_redis: redis.Redis,
    digits: Application,
) -> None:
    manager("delete", f"{SELECTION}?context=ann")
    editor("delete", f"{SELECTION}?all=true")
    persist_feedback(server_redis)
    rows = StateReset.objects.order_by("position").values_list("context", "everywhere", "by")
    assert list(rows) == [("ann", False, "API key a key"), ("", True, "grace")]


@pytest.mark.parametrize(
    "query",
    ["", "?all=false", "?all=1", "?context=ann&all=true", "?contxt=ann", "?context=" + "x" * 257,
     "?context=%00"],
)  # fmt: skip
def test_anything_else_forgets_nothing(
    manager: Api,
    teach: Teach,
    server_redis: redis.Redis,
    digits: Application,
    query: str,
) -> None:
    teach("", "ann")
    response = manager("delete", f"{SELECTION}{query}")
    assert (response.status_code, response.json()["code"]) == (400, "malformed")
    assert observed(server_redis, digits) == {"", "ann"}


def test_without_redis_it_says_so(manager: Api, digits: Application, settings: Settings) -> None:
    from tests.redis_server import fresh_redis_client

    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    with fresh_redis_client():
        for method, path in (("get", CONTEXTS), ("delete", f"{SELECTION}?all=true")):
            response = manager(method, path)
            assert (response.status_code, response.json()["code"]) == (503, "unavailable")
            assert response["Retry-After"]


# --- both ways of reading say the same --------------------------------------------------------


@pytest.mark.parametrize("policy", ["static", "exp3", "exp4"])
def test_console_and_prediction_path_agree_on_what_was_learned(
    teach: Teach,
    redis_socket: str,
    server_redis: redis.Redis,
    digits: Application,
    v1: ModelVersion,
    policy: str,
) -> None:
    go_live(v1)
    Application.objects.filter(pk=digits.pk).update(policy=policy)
    teach("", "ann", "ann", loss=0.3)
    spec, arms = application_with_arms(digits)

    async def described(context: str) -> dict[str, Any]:
        async with Redis(unix_socket_path=redis_socket) as client:
            return await SelectionStore(client).describe(spec, context=context, arms=ARMS)

    assert arms == ARMS
    for context in ("", "ann", "bob"):
        shown = describe_context(server_redis, digits, context=context)
        assert shown == asyncio.run(described(context))
        assert [arm["feedback"] for arm in shown["arms"]] == [{"": 3, "ann": 2, "bob": 0}[context]]
