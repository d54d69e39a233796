"""Passwords are worked on one at a time, and those that were hashed otherwise are understood."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ClassVar

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, get_hasher, identify_hasher
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.utils.module_loading import import_string

from clipper_site import settings
from clipper_site.passwords import Argon2InTurn, PBKDF2InTurn

AT_ONCE = 4


class Watched(Argon2PasswordHasher):
    """Django's, which knows how many were at it at once."""

    memory_cost, parallelism = 1 << 10, 1
    begun = threading.Barrier(AT_ONCE)
    counting = threading.Lock()
    now = most = 0
    threads: ClassVar[set[int]] = set()

    def encode(self, password: str, salt: str) -> str:
        with self._at_it():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with self._at_it():
            return super().verify(password, encoded)

    @contextmanager
    def _at_it(self) -> Iterator[None]:
        with self.counting:
            Watched.now += 1
            Watched.most = max(self.most, self.now)
            self.threads.add(threading.get_ident())
        try:
            yield
        finally:
            with self.counting:
                Watched.now -= 1


class WatchedInTurn(Argon2InTurn, Watched):
    """Ours, over that one."""

    memory_cost = Watched.memory_cost


def work_at_once(hasher: Argon2PasswordHasher) -> int:
    """Have so many threads make and check passwords; return how many were at it at once."""

    def make(number: int) -> None:
        Watched.begun.wait()
        for turn in range(5):
            made = hasher.encode(f"guess {turn}", f"salt of {number}")
            assert hasher.verify(f"guess {turn}", made)

    Watched.most = 0
    Watched.threads.clear()
    with ThreadPoolExecutor(max_workers=AT_ONCE) as threads:
        list(threads.map(make, range(AT_ONCE)))
    return Watched.most


def test_one_password_is_worked_on_at_a_time() -> None:
    assert work_at_once(Watched()) > 1  # or there would be nothing to see
    assert len(Watched.threads) > 1
    assert work_at_once(WatchedInTurn()) == 1
    assert len(Watched.threads) == 1  # or each would keep memory of its own


def test_a_password_of_before_works_and_is_hashed_anew_at_the_next_sign_in(db: None) -> None:
    django_default = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
    with override_settings(PASSWORD_HASHERS=[django_default]):
        owner = User.objects.create_user("owner", password="correct horse", is_staff=True)
        before = owner.password
    with override_settings(PASSWORD_HASHERS=settings.PASSWORD_HASHERS):
        assert isinstance(identify_hasher(before), PBKDF2InTurn)
        assert sign_in(password="battery staple") == 200
        assert stored_password() == before
        assert sign_in(password="correct horse") == 302
        assert stored_password().startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
        assert sign_in(password="battery staple") == 200
        assert sign_in(password="correct horse") == 302


def sign_in(*, password: str) -> int:
    return Client().post("/admin/login/", {"username": "owner", "password": password}).status_code


def stored_password() -> str:
    return User.objects.get(username="owner").password


@pytest.mark.parametrize("name", settings.PASSWORD_HASHERS)
def test_no_hasher_stands_in_the_place_of_another(name: str) -> None:
    with override_settings(PASSWORD_HASHERS=settings.PASSWORD_HASHERS):
        hasher = import_string(name)
        assert type(get_hasher(hasher.algorithm)) is hasher
        assert type(get_hasher()) is Argon2InTurn
