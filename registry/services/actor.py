"""Who does something: a signed-in user, an API key, or a command at the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User

from registry.models import ApiKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Recorded with every release; `may_allow_pickle` is the permission to load pickle.

    `may_grant_manage`: a key that manages may do everything, so only who may too makes one.
    """

    user: User | None
    label: str
    may_allow_pickle: bool = False
    may_grant_manage: bool = False

    @classmethod
    def of_user(cls, user: User) -> Actor:
        return cls(
            user=user,
            label=user.get_username(),
            may_allow_pickle=user.has_perm("registry.allow_pickle"),
            may_grant_manage=user.is_active and user.is_superuser,
        )

    @classmethod
    def of_key(cls, key: ApiKey) -> Actor:
        return cls(user=None, label=f"API key {key.name}", may_allow_pickle=key.can_allow_pickle)

    @classmethod
    def of_command(cls, name: str) -> Actor:
        """Whoever can run commands on this host can already run any code."""
        return cls(user=None, label=f"command {name}", may_allow_pickle=True, may_grant_manage=True)
