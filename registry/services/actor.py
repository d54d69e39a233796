"""Who does something: a signed-in user, an API key, or a command at the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User

from registry.models import ApiKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Recorded with every release; `may_run_code` is the permission to
    have versions run code that their artifacts bring.

    `may_grant_manage`: a key that manages may do everything, so only who may too makes one.
    """

    user: User | None
    label: str
    may_run_code: bool = False
    may_grant_manage: bool = False

    @classmethod
    def of_user(cls, user: User) -> Actor:
        return cls(
            user=user,
            label=user.get_username(),
            may_run_code=user.has_perm("registry.run_code"),
            may_grant_manage=user.is_active and user.is_superuser,
        )

    @classmethod
    def of_key(cls, key: ApiKey) -> Actor:
        return cls(user=None, label=f"API key {key.name}", may_run_code=key.can_run_code)

    @classmethod
    def of_command(cls, name: str) -> Actor:
        """Whoever can run commands on this host can already run any code."""
        return cls(user=None, label=f"command {name}", may_run_code=True, may_grant_manage=True)
