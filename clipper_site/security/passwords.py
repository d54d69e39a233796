"""Passwords: hashed by Argon2id, and worked on one at a time, so that guessing takes little."""

from concurrent.futures import ThreadPoolExecutor

from django.contrib.auth.hashers import Argon2PasswordHasher

# One thread works on all of them. Each that had once done so would keep 19 MiB or more: glibc has
# memory for each thread apart, and gives back only what lies at its end.
_turns = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passwords")


class Argon2InTurn(Argon2PasswordHasher):
    """Argon2id (RFC 9106) with the least that OWASP recommends: 19 MiB, two passes.

    It takes 18 ms. It runs without the interpreter lock, so each caller at once would take one more
    core and 19 MiB more.
    """

    time_cost, memory_cost, parallelism = 2, 19 << 10, 1

    def encode(self, password: str, salt: str) -> str:
        return _turns.submit(super().encode, password, salt).result()

    def verify(self, password: str, encoded: str) -> bool:
        return _turns.submit(super().verify, password, encoded).result()
