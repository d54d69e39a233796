"""Passwords are worked on one at a time, and those that were hashed otherwise are understood."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ClassVar

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.models import User
from django.test import Client, override_settings

from clipper_site import settings
from clipper_site.security.passwords import Argon2InTurn

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


def test_passwords_are_hashed_by_argon2id(db: None) -> None:
    with override_settings(PASSWORD_HASHERS=settings.PASSWORD_HASHERS):
        owner = User.objects.create_user("owner", password="correct horse", is_staff=True)
        assert owner.password.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
        for password, status in (("battery staple", 200), ("correct horse", 302)):
            given = {"username": "owner", "password": password}
            assert Client().post("/admin/login/", given).status_code == status
