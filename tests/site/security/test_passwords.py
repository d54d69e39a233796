"""Passwords are hashed by Argon2id, one at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.models import User
from django.test import Client, override_settings

from clipper_site import settings
from clipper_site.security.passwords import Argon2InTurn


@pytest.mark.parametrize("work", ["encode", "verify"])
def test_one_thread_works_on_all_passwords(work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()

    def note(*_: Any) -> None:
        threads.add(threading.get_ident())

    monkeypatch.setattr(Argon2PasswordHasher, work, note)
    with ThreadPoolExecutor(max_workers=4) as callers:
        list(callers.map(lambda _: getattr(Argon2InTurn(), work)("guess", "salt"), range(20)))
    assert len(threads) == 1


def test_passwords_are_hashed_by_argon2id(db: None) -> None:
    with override_settings(PASSWORD_HASHERS=settings.PASSWORD_HASHERS):
        owner = User.objects.create_user("owner", password="correct horse", is_staff=True)
        assert owner.password.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
        for password, status in (("battery staple", 200), ("correct horse", 302)):
            given = {"username": "owner", "password": password}
            assert Client().post("/admin/login/", given).status_code == status
