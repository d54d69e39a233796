"""Signing in to the console of a running stack."""

from __future__ import annotations

import time

from registry.late_answers import SOON_S
from tests.integration.stack import Stack

LOGIN = "/admin/login/"


def test_who_fails_is_told_late_and_who_mistyped_once_signs_in(stack: Stack) -> None:
    with stack.client(headers={}) as client:
        client.get(LOGIN)
        token = next(value for name, value in client.cookies.items() if "csrf" in name)
        form = {"username": "nobody", "password": "guessed", "csrfmiddlewaretoken": token}
        begun = time.monotonic()
        failed = client.post(LOGIN, data=form, headers={"Referer": stack.url})
        took = time.monotonic() - begun
        assert failed.status_code == 200
        assert "Please enter the correct username and password" in failed.text
        # A slow machine makes it no shorter; a timer may be over a millisecond too early.
        assert took > 0.9 * SOON_S

        right = {"username": stack.demo["admin_user"], "password": stack.demo["admin_password"]}
        signed_in = client.post(LOGIN, data=form | right, headers={"Referer": stack.url})
        assert (signed_in.status_code, signed_in.headers["location"]) == (302, "/admin/")
