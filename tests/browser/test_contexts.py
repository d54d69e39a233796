"""The console shows what each context has learned, and has it forgotten after asking once more."""

import re
import time

import pytest
import redis
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from playwright.sync_api import expect

from registry.models import Application
from selection.feedback.persistence.drain import persist_feedback
from selection.store.redis_keys import contexts_key, pack_vector, state_key
from tests.browser.conftest import SignIn

pytestmark = pytest.mark.browser

PAGE = "/admin/applications/digits/contexts/"


def learned(
    client: redis.Redis, application: Application, context: str = "", **more_right: float
) -> None:
    now = time.time()
    fields: dict[str, bytes | str] = {"t": f"{now:.3f}", "p": "1-0"}
    for model, more in more_right.items():
        fields[f"rew:{model}:1"] = pack_vector((100.0, 90.0 + more, 90.0 + more))
        fields[f"n:{model}:1"] = "1200"
        fields[f"q:{model}:1"] = "15000"
    client.hset(state_key(application.pk, context), mapping=fields)  # type: ignore[arg-type]
    if context:
        client.zadd(contexts_key(application.pk), {context: now})


def test_the_global_context_is_shown_with_the_contexts_that_learned(
    sign_in: SignIn, owner: User, digits: Application, server_redis: redis.Redis
) -> None:
    learned(server_redis, digits, svm=0.0, forest=2.0)
    learned(server_redis, digits, "ann & co", svm=3.0, forest=0.0)
    page = sign_in(owner)
    page.goto(f"/admin/registry/application/{digits.pk}/change/")
    page.get_by_role("link", name="Contexts").click()

    expect(page).to_have_url(re.compile(f"{PAGE}$"))
    arms = page.get_by_test_id("learned-arm")
    expect(arms).to_have_count(2)
    expect(arms.filter(has_text="forest:1")).to_contain_text("52 %")
    expect(arms.filter(has_text="forest:1")).to_contain_text("92.0 %")
    page.get_by_role("link", name="ann & co").click()
    expect(page.get_by_test_id("state")).to_contain_text("ann & co")
    expect(arms.filter(has_text="svm:1")).to_contain_text("54 %")


def test_a_context_is_reset_after_asking_and_the_log_says_who_did(
    sign_in: SignIn, owner: User, digits: Application, server_redis: redis.Redis
) -> None:
    learned(server_redis, digits, svm=0.0, forest=2.0)
    learned(server_redis, digits, "ann", svm=3.0, forest=0.0)
    page = sign_in(owner)
    page.goto(f"{PAGE}?context=ann")
    page.get_by_test_id("reset-one").click()
    expect(page.get_by_test_id("forgets")).to_have_text("ann")
    assert server_redis.exists(state_key(digits.pk, "ann"))
    page.get_by_test_id("confirm").click()

    expect(page.get_by_text("Reset what was learned in the context ann.")).to_be_visible()
    assert not server_redis.exists(state_key(digits.pk, "ann"))
    assert server_redis.exists(state_key(digits.pk, ""))
    logged = LogEntry.objects.get()
    assert (logged.user, logged.object_id) == (owner, str(digits.pk))
    assert logged.get_change_message() == "Reset what was learned in the context ann."
    persist_feedback(server_redis)
    page.reload()
    expect(page.get_by_test_id("resets")).to_contain_text("by owner")
