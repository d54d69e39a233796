"""Passwords are worked on one at a time: strangers that guess take one core at most."""

from __future__ import annotations

import threading

from django.contrib.auth.hashers import PBKDF2PasswordHasher

_turn = threading.Lock()


class PBKDF2InTurn(PBKDF2PasswordHasher):
    """Django's default. It works for a quarter of a second, on purpose, without the interpreter
    lock: each further person that signs in would have it take one more core.
    """

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        with _turn:
            return super().encode(password, salt, iterations)
