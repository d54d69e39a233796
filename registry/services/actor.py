"""Who does something, and from where: a person, an API key, a command, or Clipper itself."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User

from registry.models import ApiKey, AuditEntry

Channel = AuditEntry.Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Recorded with every change; `may_run_code` is the permission to
    have versions run code that their artifacts bring.

    `may_grant_manage`: a key that manages may do everything, so only who may too makes one.
    `may_grant_read`: likewise one that sees everything.
    """

    user: User | None
    label: str
    may_run_code: bool = False
    may_grant_manage: bool = False
    may_grant_read: bool = False
    channel: str = Channel.SYSTEM
    address: str = ""
    key_prefix: str = ""

    @classmethod
    def of_user(cls, user: User, *, channel: str = Channel.CONSOLE, address: str = "") -> Actor:
        return cls(
            user=user,
            label=user.get_username(),
            may_run_code=user.has_perm("registry.run_code"),
            may_grant_manage=user.is_active and user.is_superuser,
            may_grant_read=user.is_active and user.is_superuser,
            channel=channel,
            address=address,
        )

    @classmethod
    def of_key(cls, key: ApiKey, *, address: str = "") -> Actor:
        return cls(
            user=None,
            label=f"API key {key.name}",
            may_run_code=key.can_run_code,
            may_grant_read=key.can_manage and not key.bound,
            channel=Channel.REST,
            address=address,
            key_prefix=key.prefix,
        )

    @classmethod
    def of_command(cls, name: str) -> Actor:
        """Whoever can run commands on this host can already run any code."""
        return cls(
            user=None,
            label=f"command {name}",
            may_run_code=True,
            may_grant_manage=True,
            may_grant_read=True,
            channel=Channel.COMMAND,
        )


# What nobody asked for: the stack's own steps, such as a release that went live.
SYSTEM = Actor(user=None, label="Clipper")
