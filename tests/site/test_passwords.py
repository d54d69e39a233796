"""However many people sign in at once, one password is worked on at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from django.contrib.auth.hashers import (
    PBKDF2PasswordHasher,
    check_password,
    identify_hasher,
    make_password,
)
from django.test import override_settings

from clipper_site import settings
from clipper_site.passwords import PBKDF2InTurn

AT_ONCE = 4


class Watched(PBKDF2PasswordHasher):
    """Django's, which knows how many were at it at once."""

    iterations = 20_000
    begun = threading.Barrier(AT_ONCE)
    counting = threading.Lock()
    now = most = 0

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        with self.counting:
            Watched.now += 1
            Watched.most = max(self.most, self.now)
        try:
            return super().encode(password, salt, iterations)
        finally:
            with self.counting:
                Watched.now -= 1


class WatchedInTurn(PBKDF2InTurn, Watched):
    """Ours, over that one."""


def work_at_once(hasher: PBKDF2PasswordHasher) -> int:
    """Have so many threads make passwords, and return how many were at it at once."""

    def make(number: int) -> None:
        Watched.begun.wait()
        for turn in range(5):
            hasher.encode(f"guess {turn}", f"salt{number}")

    Watched.most = 0
    with ThreadPoolExecutor(max_workers=AT_ONCE) as threads:
        list(threads.map(make, range(AT_ONCE)))
    return Watched.most


def test_one_password_is_worked_on_at_a_time() -> None:
    assert work_at_once(Watched()) > 1  # or there would be nothing to see
    assert work_at_once(WatchedInTurn()) == 1


def test_passwords_are_those_that_django_makes() -> None:
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.PBKDF2PasswordHasher"]):
        before = make_password("correct horse")
    with override_settings(PASSWORD_HASHERS=settings.PASSWORD_HASHERS):
        assert isinstance(identify_hasher(before), PBKDF2InTurn)
        assert check_password("correct horse", before)
        assert not check_password("battery staple", before)
        assert make_password("correct horse").startswith("pbkdf2_sha256$")
