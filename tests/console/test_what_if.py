"""The console's page on what if, where no browser is needed."""

from __future__ import annotations

import redis
from django.test.client import Client

from registry import services

PAGE = "/admin/applications/digits/what-if/"


def test_a_search_without_a_policy_says_to_choose_one(
    admin_client: Client, server_redis: redis.Redis
) -> None:
    services.create_application(
        name="digits", input_type="doubles", slo_ms=50.0, by=services.SYSTEM
    )
    page = admin_client.get(f"{PAGE}?search=1&policy=").content.decode()
    assert "Nothing was searched. Choose the policy whose parameters are wanted." in page
