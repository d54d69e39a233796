"""Callers of services and their rights."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User

from core.errors import Forbidden
from registry.models import ApiKey, AuditEntry, ModelVersion, Release, Route
from registry.security.grants import grant_of
from registry.versions.extensions import runs_code
from registry.versions.package_requirements import met_here, parse

Channel = AuditEntry.Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A person, key or command, recorded with every change, and what it may grant and run."""

    user: User | None
    label: str
    may_run_code: bool = False
    may_grant_manage: bool = False
    may_grant_read: bool = False
    channel: str = Channel.SYSTEM
    address: str = ""
    key_prefix: str = ""
    # The applications that it is bound to, None for all: nothing else is its to change.
    applications: frozenset[int] | None = None

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
            applications=grant_of(user).applications,
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
            applications=key.bound_to,
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


PERMISSION = "registry.run_code"


def check_may_run(version: ModelVersion, *, by: Actor) -> None:
    """Raise Forbidden if its artifact or its packages bring code and `by` may not run any."""
    if by.may_run_code or not (what := _what_runs(version)):
        return
    raise Forbidden(
        f"{what}, which needs the permission {PERMISSION}; {by.label} lacks it.",
        permission=PERMISSION,
    )


def _what_runs(version: ModelVersion) -> str:
    """Name what of it runs code of its own, "" for nothing."""
    if version.allow_pickle:
        return "Loading pickle runs code that its artifact brings"
    if runs_code(version.runtime):
        return f"A version of the runtime {version.runtime} runs code that its artifact brings"
    required = parse(version.requirements, urls=True)
    if not met_here(required, python=version.python) and required:
        return "A version with requirements that the stack doesn't meet runs code that they bring"
    return ""


def check_may_run_version(version: ModelVersion, *, by: Actor) -> None:
    """Raise Forbidden if `by` would be the first to have this version's code serve."""
    if not Release.objects.filter(version=version, started_at__isnull=False).exists():
        check_may_run(version, by=by)


def check_may_pin(version: ModelVersion, *, by: Actor) -> None:
    """Raise Forbidden if a pin would be the first to run this version's code."""
    if not Route.objects.filter(pinned_version=version).exists():
        check_may_run_version(version, by=by)
